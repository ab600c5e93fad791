//! The browser SDK's logic, compiled to WebAssembly: what happens to an event between `track` and the collector.
//!
//! This file is the spine: an event comes in by [`Client::track`], becomes bytes in `wire`, waits in `outbox` until
//! that says how it leaves, and leaves by `web`. `npm/sdk/src/index.ts` calls it. On the host only the parts that
//! decide exist (and their tests); everything that needs a browser is behind `target_arch = "wasm32"`.

pub mod outbox;
pub mod retry;
#[cfg(target_arch = "wasm32")]
mod web;
pub mod wire;

#[cfg(target_arch = "wasm32")]
pub use client::Client;

#[cfg(target_arch = "wasm32")]
mod client {
    use std::rc::Rc;

    use wasm_bindgen::prelude::*;

    use crate::outbox::{DropReason, Outbox};
    use crate::{web, wire};

    /// Captures events for one project and delivers them.
    ///
    /// Nothing here throws into the page: what can fail is answered by a code or counted. A trap would be our fault;
    /// the JavaScript entry catches it and reports that collecting has stopped.
    #[wasm_bindgen]
    pub struct Client {
        page: Rc<web::Page>,
    }

    #[wasm_bindgen]
    impl Client {
        /// Starts to listen and send.
        ///
        /// `url` is where batches are posted, with the key in it. `report` is called as `(status, events)` after a
        /// request that was not accepted, with the HTTP status or 0 if there was no usable answer.
        #[wasm_bindgen(constructor)]
        #[must_use]
        pub fn new(url: String, report: js_sys::Function) -> Self {
            let page = Rc::new(web::Page::new(url, report, Outbox::new(web::seed())));
            page.listen();
            Self { page }
        }

        /// Captures one event. `collection` is a JSON string with its quotes, `properties` a JSON object, `at_ms`
        /// the time of capture in milliseconds since 1970.
        ///
        /// Returns 0 if it was taken, otherwise the code of [`DropReason`] as `count_drops` takes it.
        pub fn track(&self, collection: &str, properties: &str, at_ms: f64) -> u8 {
            let event = wire::event(web::whole(at_ms), web::random(), collection, properties);
            match self.page.capture(event) {
                Ok(()) => 0,
                Err(DropReason::QueueFull) => 1,
                Err(DropReason::EventTooLarge) => 2,
                Err(DropReason::NotJson) => 3,
                Err(DropReason::Refused) => 4,
            }
        }

        /// Counts events that were dropped before they got here, by the code that [`Self::track`] returns.
        pub fn count_drops(&self, code: u8, count: u32) {
            let reason = match code {
                1 => DropReason::QueueFull,
                2 => DropReason::EventTooLarge,
                _ => DropReason::NotJson,
            };
            self.page.count_drops(reason, count);
        }

        /// Sends now, and calls `done` with `true` when the collector has answered for everything captured so far,
        /// with `false` when a request failed and the rest has to wait.
        pub fn flush(&self, done: js_sys::Function) {
            self.page.flush(done);
        }

        /// Events that the collector has not answered for.
        #[must_use]
        pub fn waiting(&self) -> u32 {
            self.page.waiting()
        }

        /// Events dropped so far, for any reason.
        #[must_use]
        pub fn dropped(&self) -> u32 {
            self.page.dropped()
        }
    }
}
