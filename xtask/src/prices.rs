//! The price table: `supabase/prices.json`, from one maintained list, and what a second one says otherwise.

mod genai;
mod litellm;
mod review;
mod source;
mod table;

use std::fs;

use crate::root;

/// The table as `api.set_model_prices` takes it.
const TABLE: &str = "supabase/prices.json";
/// The second list, as far as it knows the models of the table.
const SECOND: &str = "xtask/data/genai-prices.json";
/// Where the two differ, and somebody has looked: one difference a line, `#` begins a comment.
const REVIEWED: &str = "xtask/data/reviewed-prices.txt";

/// Fetches both lists, which are pinned by their hashes, and writes the two files. What they say differently and nobody
/// has looked at yet is an error, with the lines to add to the reviewed ones.
pub fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let table = litellm::table(&source::litellm(folder.path())?)?;
    let second = genai::table(&source::genai(folder.path())?, &table)?;
    for (path, written) in [(TABLE, &table), (SECOND, &second)] {
        fs::write(root().join(path), written.to_json())
            .map_err(|error| format!("{path} cannot be written: {error}"))?;
        println!("{path}: {} models of {}", written.prices.len(), written.version);
    }
    let reviewed = read(REVIEWED)?;
    let review = review::Review::of(&table, &second, &reviewed);
    if review.new.is_empty() && review.gone.is_empty() { Ok(()) } else { Err(review.to_string()) }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path} cannot be read: {error}"))
}
