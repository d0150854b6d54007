use std::sync::OnceLock;

use front_door::{FrontDoor, Function};
use platform::Context;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::grants::Grants;
use crate::variables::Variables;
use crate::{inbound, log, outbound, task};

/// A function as a component: one `static`, which is loaded by an instance's first request.
pub struct Component<F> {
    grants: fn(Grants) -> Grants,
    instance: OnceLock<Instance<F>>,
}

struct Instance<F> {
    door: FrontDoor<F>,
    context: Context,
}

impl<F: Function + 'static> Component<F> {
    /// A component that may ask of its host what `grants` adds.
    pub const fn new(grants: fn(Grants) -> Grants) -> Self {
        Self { grants, instance: OnceLock::new() }
    }

    /// Answers `request`. An error would be a bare 500: every problem is rendered before.
    pub async fn answer(&'static self, request: Request) -> Result<Response, ErrorCode> {
        task::run(async {
            let Instance { door, context } = self.instance().await;
            let response = door.handle(inbound::request(request)?, context).await;
            outbound::response(response)
        })
        .await
    }

    /// What the instance holds. Requests that arrive while the first one loads do the same once more: no request waits
    /// for another's task.
    async fn instance(&self) -> &Instance<F> {
        if let Some(instance) = self.instance.get() {
            return instance;
        }
        log::open(Variables.log_level().await);
        let context = (self.grants)(Grants::new()).into_context();
        let door = FrontDoor::load(&context).await;
        self.instance.get_or_init(|| Instance { door, context })
    }
}
