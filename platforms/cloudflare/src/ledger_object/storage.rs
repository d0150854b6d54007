use std::collections::BTreeMap;

use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use worker::js_sys::{Array, JSON, Object, Reflect, try_iter};

/// Texts by name, in the object's own database.
pub struct Storage {
    host: HostStorage,
    texts: HostTexts,
    /// The option by which no answer of the object waits for a write.
    unconfirmed: JsValue,
}

/// A text to write, or a name to forget.
pub type Write = (String, Option<String>);

/// How many names one call of the host takes.
const AT_ONCE: usize = 128;

#[wasm_bindgen]
extern "C" {
    /// The storage of a Durable Object. `worker` has neither its synchronous part nor options on `put`.
    pub type HostStorage;
    #[wasm_bindgen(method, catch)]
    fn put(this: &HostStorage, entries: &JsValue, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &HostStorage, keys: &Array, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    fn delete_all(this: &HostStorage) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &HostStorage, time: f64, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn kv(this: &HostStorage) -> HostTexts;

    type HostTexts;
    #[wasm_bindgen(method, catch, js_name = put)]
    fn put_one(this: &HostTexts, key: &str, text: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn get(this: &HostTexts, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn list(this: &HostTexts, options: &JsValue) -> Result<JsValue, JsValue>;
}

impl Storage {
    pub fn new(host: HostStorage) -> Self {
        let unconfirmed = Object::new();
        set(&unconfirmed, "allowUnconfirmed", &JsValue::TRUE);
        Self { texts: host.kv(), host, unconfirmed: unconfirmed.into() }
    }

    /// Writes before any later answer of the object: all of it or, when the object ends now, nothing, as long as nobody
    /// waits in between.
    pub fn write(&self, writes: &[Write]) -> Result<(), JsValue> {
        match writes {
            // The most frequent case, and the fastest way.
            [(key, Some(text))] => self.texts.put_one(key, text),
            _ => self.write_with(writes, &JsValue::UNDEFINED),
        }
    }

    /// Writes some time soon, in the order of all writes.
    pub fn write_unconfirmed(&self, writes: &[Write]) -> Result<(), JsValue> {
        self.write_with(writes, &self.unconfirmed)
    }

    // A write that fails later ends the object, so nobody has to wait for the promises.
    fn write_with(&self, writes: &[Write], options: &JsValue) -> Result<(), JsValue> {
        for writes in writes.chunks(AT_ONCE) {
            let mut puts = BTreeMap::new(); // to collect would bring a sort of its own
            puts.extend(writes.iter().filter_map(|(key, text)| Some((key, text.as_ref()?))));
            if !puts.is_empty() {
                // One text crosses faster than each name and value.
                let puts = serde_json::to_string(&puts).map_err(JsError::from)?;
                self.host.put(&JSON::parse(&puts)?, options)?;
            }
            let deletes: Array =
                writes.iter().filter(|(_, text)| text.is_none()).map(|(key, _)| JsValue::from(key)).collect();
            if deletes.length() > 0 {
                self.host.delete(&deletes, options)?;
            }
        }
        Ok(())
    }

    /// The text `key`.
    pub fn get(&self, key: &str) -> Result<Option<String>, JsValue> {
        Ok(self.texts.get(key)?.as_string())
    }

    /// Names that begin with `prefix`, and their texts, in the order of the names; at most `limit`. They are read one by
    /// one. What is no text is left out.
    pub fn list(
        &self,
        prefix: &str,
        limit: Option<u32>,
    ) -> Result<impl Iterator<Item = Result<(String, String), JsValue>>, JsValue> {
        let options = Object::new();
        set(&options, "prefix", &prefix.into());
        if let Some(limit) = limit {
            set(&options, "limit", &limit.into());
        }
        let entries = try_iter(&self.texts.list(&options)?)?.ok_or_else(|| JsError::new("no list"))?;
        Ok(entries.filter_map(|entry| entry.map(|entry| text(&entry)).transpose()))
    }

    /// Forgets everything, the alarm as well.
    pub fn delete_all(&self) -> Result<(), JsValue> {
        self.host.delete_all().map(drop)
    }

    /// Sets the alarm, in place of the one that is set. `time` is in milliseconds since the epoch.
    pub fn set_alarm(&self, time: u64) -> Result<(), JsValue> {
        #[allow(clippy::cast_precision_loss)] // milliseconds since the epoch fit
        let time = time as f64;
        self.host.set_alarm(time, &self.unconfirmed).map(drop)
    }
}

fn text(entry: &JsValue) -> Option<(String, String)> {
    let entry: &Array = entry.dyn_ref()?;
    Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
}

fn set(object: &Object, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value); // a plain object takes any property
}
