use std::path::Path;

use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::p3::bindings::http::{client, types};

use crate::guest::Guest;
use crate::{Error, interfaces};

/// How many instances there may be at once, of all components.
const INSTANCES: u32 = 512;
/// A component is its own module, and small ones that connect it to what it imports.
const MODULES_PER_COMPONENT: u32 = 8;
/// How much memory a guest may have: what Cloudflare allows.
const MEMORY: usize = 128 << 20;

/// The engine, which keeps what it has compiled in the folder `cache`.
pub(crate) fn engine(cache: &Path) -> Result<Engine, Error> {
    let failed = |error: wasmtime::Error| Error::Engine(format!("{error:#}"));
    let mut kept = CacheConfig::new();
    kept.with_directory(std::path::absolute(cache).map_err(|error| Error::io(cache, error))?);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * MODULES_PER_COMPONENT)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * 2)
        .total_stacks(INSTANCES * 4)
        .max_core_instances_per_component(MODULES_PER_COMPONENT)
        .max_memory_size(MEMORY);
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .cache(Some(Cache::new(kept).map_err(failed)?));
    Engine::new(&config).map_err(failed)
}

/// A component that is ready to be instantiated: it is compiled, and all it imports is there.
pub(crate) fn load(engine: &Engine, id: &str, source: &Path) -> Result<ServicePre<Guest>, Error> {
    let wasm = std::fs::read(source).map_err(|error| Error::io(source, error))?;
    let failed = |error: wasmtime::Error| Error::Component { id: id.to_owned(), reason: format!("{error:#}") };
    let component = Component::new(engine, wasm).map_err(failed)?;
    linker(engine).and_then(|linker| ServicePre::new(linker.instantiate_pre(&component)?)).map_err(failed)
}

/// All that a component may import.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    client::add_to_linker::<_, WasiHttp>(&mut linker, Guest::taking)?;
    types::add_to_linker::<_, WasiHttp>(&mut linker, Guest::making)?;
    interfaces::add_to_linker(&mut linker)?;
    Ok(linker)
}
