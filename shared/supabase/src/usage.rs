use platform::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, Identity, RECORD_LLM_USAGE, Supabase};

#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    refused: Vec<Refused>,
}

/// A row that breaks a rule of the table, which no repetition changes.
#[derive(Deserialize)]
struct Refused {
    id: Option<String>,
    reason: Option<String>,
}

impl Supabase {
    /// Stores rows for the accounts, each a JSON text with an id of its own, in one call. One that is there already is
    /// left alone; one that the database cannot store, now or ever, is logged and counts as dealt with.
    pub async fn record_usage(&self, context: &Context, records: &[String]) -> Result<(), Error> {
        let events: Vec<Value> = records.iter().filter_map(|record| read(record)).collect();
        // As the edge: callers must not write their own bill.
        let payload = json!({"events": events});
        let recorded: Recorded = self.rpc(context, RECORD_LLM_USAGE, &payload, Identity::Service).await?;
        for refused in recorded.refused {
            tracing::error!(event = refused.id, reason = refused.reason, "the database refused a usage event");
        }
        Ok(())
    }
}

fn read(record: &str) -> Option<Value> {
    serde_json::from_str(record).inspect_err(|error| tracing::error!(%error, "a usage event is no JSON")).ok()
}
