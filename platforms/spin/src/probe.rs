use front_door::Function;
use platform::{Configuration, Context, Request, Response};
use problem::Problem;

/// Routes that only tests use (`tests/probe`), behind the same door as everything else. Never in what ships.
pub struct Probe;

impl Function for Probe {
    async fn read(_: &mut Configuration<'_>) -> Option<Self> {
        Some(Self)
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        Ok(probe::handle(request, context).await)
    }
}
