use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::AllowedHosts;
use crate::client::Client;
use crate::components::Neighbours;
use crate::hooks::{Headers, Hooks};
use crate::output::Output;
use crate::stores::Open;

/// What the manifest grants a component.
pub(crate) struct Grants {
    /// Its name.
    pub component: Arc<str>,
    pub variables: BTreeMap<String, String>,
    pub hosts: AllowedHosts,
    /// By label.
    pub stores: BTreeMap<String, Open>,
    pub environment: Vec<(String, String)>,
}

/// The host's side of one instance.
pub(crate) struct Guest {
    pub grants: Arc<Grants>,
    pub table: ResourceTable,
    pub open_stores: usize,
    pub open_connections: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    making: Hooks,
    taking: Hooks,
}

impl Guest {
    pub(crate) fn new(grants: Arc<Grants>, client: &Client, neighbours: &Neighbours) -> Self {
        let output = || Output::of(&grants.component);
        let wasi = WasiCtx::builder().envs(&grants.environment).stdout(output()).stderr(output()).build();
        let [making, taking] = [Headers::FromGuest, Headers::FromOutside]
            .map(|headers| Hooks::new(Arc::clone(&grants), client.clone(), neighbours.clone(), headers));
        let (table, http) = (ResourceTable::new(), WasiHttpCtx::new());
        Self { grants, table, open_stores: 0, open_connections: 0, wasi, http, making, taking }
    }

    /// For messages that the guest makes.
    pub(crate) fn making(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.making }
    }

    /// For messages that come in, and for sending.
    pub(crate) fn taking(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.taking }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
