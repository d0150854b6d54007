//! `/rest/v1/<table>`: reads.

use std::sync::Arc;

use http::Method;

use super::failure::Failure;
use super::filter::Selection;
use super::transaction::{Identity, Page, Statement};
use super::{quoted, wants_exact_count, wants_single_object};
use crate::answer::{self, Request};
use crate::surface::Surface;

/// Reads rows of the table `name`.
pub(super) async fn read(
    request: &Request,
    name: &str,
    identity: &Identity,
    surface: &Arc<Surface>,
) -> Result<Page, Failure> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = format!("Unsupported HTTP method: {} (this server only reads tables)", request.method());
        return Err(Failure::method("PGRST117", message));
    }
    let table = surface.schema.find(&surface.rest, |known| known.table(identity.schema, name)).await;
    let table = table.ok_or_else(|| Failure::unknown_table(identity.schema, name))?;
    let selection = Selection::read(&answer::query(request), &table)?;
    let source = format!("{}.{} where {}", quoted(identity.schema), quoted(name), selection.condition);
    let list = if wants_single_object(request) {
        "(json_agg(page) -> 0)::text"
    } else {
        "coalesce(json_agg(page), '[]')::text"
    };
    let total =
        if wants_exact_count(request) { format!("(select count(*) from {source})") } else { "null::bigint".into() };
    let Selection { columns, order, limit, offset, parameters, .. } = selection;
    let page = format!("select {columns} from {source}{order} limit {limit} offset {offset}");
    let sql = format!("select {list}, count(*), {total} from ({page}) page");
    let statement = Statement { sql, parameters, reads_only: true, timeout: None };
    Ok(identity.run(statement, surface).await?.starting_at(offset))
}
