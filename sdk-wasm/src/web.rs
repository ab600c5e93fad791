//! Does what the outbox says: requests, beacons, timers, listeners.
//!
//! Decides nothing. Calls into the page (a patched `fetch`, say) may call back into the SDK, so no borrow is held
//! while one runs, and a state that is borrowed nevertheless makes the call a no-op instead of a panic.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use gloo_utils::{document, window};
use js_sys::{Array, Date, Function, Math, Promise};
use wasm_bindgen::prelude::*;
use web_sys::{EventTarget, RequestInit, Response};

use crate::outbox::{Answer, Batch, DropReason, Event, Flushed, How, Input, Millis, Outbox, Output};
use crate::wire;

/// How long a project or key that the collector doesn't know is left alone, at least. Its events are kept: a new key
/// takes up to a minute to reach every edge (Cloudflare KV).
const UNKNOWN_KEY_MS: u64 = 60_000;

#[wasm_bindgen]
extern "C" {
    // Not web-sys' `fetch`, which lets an exception of a patched one through.
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, init: &Request) -> Result<Settling, JsValue>;

    /// A `RequestInit` with what web-sys lacks (`keepalive`) or has only with a table of names (`credentials`).
    #[wasm_bindgen(extends = RequestInit)]
    type Request;
    #[wasm_bindgen(method, setter, structural)]
    fn set_keepalive(this: &Request, keepalive: bool);
    #[wasm_bindgen(method, setter, structural, js_name = credentials)]
    fn set_credentials_mode(this: &Request, mode: &str);

    /// A promise whose callbacks belong to the page's garbage collector, because nobody knows whether it settles.
    #[wasm_bindgen(extends = Promise)]
    type Settling;
    #[wasm_bindgen(method, js_name = then)]
    fn then_either(this: &Settling, resolved: &JsValue, rejected: &JsValue) -> JsValue;

    /// Whatever a request settled with: a `Response`, the body of a good one (`protocol::batch::BatchAnswer`), or
    /// an error. Told apart by what they have, because pages replace `Response`.
    type Settled;
    #[wasm_bindgen(method, getter, structural)]
    fn status(this: &Settled) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural)]
    fn accepted(this: &Settled) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural)]
    fn refused(this: &Settled) -> Option<Array>;
}

/// One client's place in the page.
pub(crate) struct Page {
    url: String,
    report: Function,
    outbox: RefCell<Outbox>,
    timer: RefCell<Option<(Millis, Timeout)>>,
    flushes: RefCell<Vec<(u64, Function)>>,
    /// Set while [`Page::run`] runs, so that a call from within it doesn't start a second one.
    running: Cell<bool>,
}

impl Page {
    pub(crate) fn new(url: String, report: Function, outbox: Outbox) -> Self {
        let (timer, flushes) = (RefCell::new(None), RefCell::new(Vec::new()));
        Self { url, report, outbox: RefCell::new(outbox), timer, flushes, running: Cell::new(false) }
    }

    /// Listens for as long as the page lives. No `unload` and no `beforeunload`: they stop the back/forward cache.
    pub(crate) fn listen(self: &Rc<Self>) {
        let (document, window) = (document(), window());
        self.listen_to(&document, "visibilitychange", None);
        self.listen_to(&window, "pagehide", Some(Input::Hidden));
        self.listen_to(&window, "pageshow", Some(Input::Shown));
        self.listen_to(&window, "online", Some(Input::Online));
    }

    fn listen_to(self: &Rc<Self>, target: &EventTarget, name: &'static str, input: Option<Input>) {
        let page = Rc::clone(self);
        EventListener::new(target, name, move |_| {
            let seen = || if document().hidden() { Input::Hidden } else { Input::Shown };
            page.handle(input.unwrap_or_else(seen));
        })
        .forget();
    }

    pub(crate) fn capture(self: &Rc<Self>, event: Event) -> Result<(), DropReason> {
        let taken = match self.outbox.try_borrow_mut() {
            Ok(mut outbox) => outbox.capture(now(), event),
            Err(_) => Err(DropReason::QueueFull),
        };
        self.run();
        taken
    }

    pub(crate) fn count_drops(&self, reason: DropReason, count: u32) {
        if let Ok(mut outbox) = self.outbox.try_borrow_mut() {
            outbox.count_drops(reason, count);
        }
    }

    /// Remembers whom to tell when all that was captured so far is answered for, and sends.
    pub(crate) fn flush(self: &Rc<Self>, done: Function) {
        if let (Ok(outbox), Ok(mut flushes)) = (self.outbox.try_borrow(), self.flushes.try_borrow_mut()) {
            flushes.push((outbox.taken(), done));
        }
        self.handle(Input::Flush);
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.outbox.try_borrow().map_or(0, |outbox| u32::try_from(outbox.waiting()).unwrap_or(u32::MAX))
    }

    pub(crate) fn dropped(&self) -> u32 {
        self.outbox.try_borrow().map_or(0, |outbox| outbox.drops().total())
    }

    fn handle(self: &Rc<Self>, input: Input) {
        self.note(input);
        self.run();
    }

    fn note(&self, input: Input) {
        if let Ok(mut outbox) = self.outbox.try_borrow_mut() {
            outbox.handle(now(), input);
        }
    }

    /// Does what the outbox says until there is nothing to do but wait.
    fn run(self: &Rc<Self>) {
        if self.running.replace(true) {
            return;
        }
        let until = loop {
            let output = self.outbox.try_borrow_mut().map(|mut outbox| outbox.poll(now()));
            match output {
                Ok(Output::Send(batch)) => self.send(&batch),
                Ok(Output::Wait(until)) => break Some(until),
                Ok(Output::Idle) | Err(_) => break None,
            }
        };
        self.running.set(false);
        self.wake_at(until);
        self.tell_flushes();
    }

    fn wake_at(self: &Rc<Self>, until: Option<Millis>) {
        let Ok(mut timer) = self.timer.try_borrow_mut() else { return };
        if timer.as_ref().map(|(at, _)| *at) == until {
            return;
        }
        *timer = until.map(|at| {
            let page = Rc::clone(self);
            // One more, because timers may fire a fraction early.
            let delay_ms = u32::try_from(at.0.saturating_sub(now().0) + 1).unwrap_or(u32::MAX);
            (at, Timeout::new(delay_ms, move || page.woken()))
        });
    }

    fn woken(self: &Rc<Self>) {
        // The timer is over: were it kept, `wake_at` would take it for one still to come.
        let over = self.timer.try_borrow_mut().map(|mut timer| timer.take());
        drop(over);
        self.run();
    }

    fn tell_flushes(&self) {
        let mut told = Vec::new();
        if let (Ok(outbox), Ok(mut flushes)) = (self.outbox.try_borrow(), self.flushes.try_borrow_mut()) {
            flushes.retain(|(mark, done)| {
                let flushed = outbox.flushed(*mark);
                if flushed != Flushed::Pending {
                    told.push((done.clone(), flushed == Flushed::All));
                }
                flushed == Flushed::Pending
            });
        }
        for (done, all) in told {
            drop(done.call1(&JsValue::UNDEFINED, &JsValue::from_bool(all)));
        }
    }

    fn send(self: &Rc<Self>, batch: &Batch) {
        let body = wire::batch(whole(Date::now()), &batch.drops, &batch.events);
        if batch.how == How::Beacon {
            let taken = window().navigator().send_beacon_with_opt_str(&self.url, Some(&body));
            if !taken.unwrap_or(false) {
                self.note(Input::BeaconRefused(batch.number));
            }
            return;
        }
        let request: Request = RequestInit::new().unchecked_into();
        request.set_method("POST");
        // A string goes as text/plain, for which no preflight is asked.
        request.set_body(&JsValue::from_str(&body));
        request.set_credentials_mode("omit");
        request.set_keepalive(batch.how == How::Keepalive);
        let events = batch.events.len();
        match fetch(&self.url, &request) {
            Ok(answer) => self.when_settled(&answer, batch.number, events),
            Err(_) => self.note(Input::Answered(batch.number, self.failed(0.0, events, None))),
        }
    }

    fn when_settled(self: &Rc<Self>, promise: &Settling, number: u32, events: usize) {
        let page = Rc::clone(self);
        let settled = Closure::<dyn FnMut(JsValue)>::new(move |value| page.settled(number, events, value));
        let settled = settled.into_js_value();
        promise.then_either(&settled, &settled);
    }

    fn settled(self: &Rc<Self>, number: u32, events: usize, value: JsValue) {
        let answer = if value.is_object() {
            let settled: &Settled = value.unchecked_ref();
            match (settled.status(), settled.accepted()) {
                (Some(status), _) if (200.0..300.0).contains(&status) => {
                    if let Ok(body) = value.unchecked_ref::<Response>().json() {
                        return self.when_settled(body.unchecked_ref(), number, events);
                    }
                    self.failed(status, events, None)
                }
                (Some(status), _) => self.failed(status, events, Some(value.unchecked_ref())),
                (None, Some(_)) => Answer::Stored { refused: settled.refused().map_or(0, |list| list.length()) },
                // A network error; or a page that is not the collector's, such as a hotel's.
                (None, None) => self.failed(0.0, events, None),
            }
        } else {
            self.failed(0.0, events, None)
        };
        self.handle(Input::Answered(number, answer));
    }

    /// Reports a request that was not accepted and says what its status means.
    fn failed(&self, status: f64, events: usize, response: Option<&Response>) -> Answer {
        let count = u32::try_from(events).unwrap_or(u32::MAX);
        drop(self.report.call2(&JsValue::UNDEFINED, &JsValue::from_f64(status), &JsValue::from_f64(f64::from(count))));
        let asked = response.and_then(retry_after_ms);
        match whole(status) {
            400 | 413 => Answer::Rejected,
            401 | 403 | 404 => Answer::Failed { retry_after_ms: Some(asked.unwrap_or(0).max(UNKNOWN_KEY_MS)) },
            _ => Answer::Failed { retry_after_ms: asked },
        }
    }
}

/// What `Retry-After` asks for, in seconds or as a date. The collector has to expose the header to other origins.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let value = response.headers().get("retry-after").ok()??;
    let seconds = value.bytes().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    });
    match seconds {
        Some(seconds) => Some(seconds.saturating_mul(1_000)),
        None => Some(Date::parse(&value) - Date::now()).filter(|ms| *ms >= 0.0).map(whole),
    }
}

/// Milliseconds since the page began; runs on when the visitor sets the clock.
fn now() -> Millis {
    Millis(whole(window().performance().map_or_else(Date::now, |performance| performance.now())))
}

/// The whole part of a number that is not negative, as far as it fits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, which is meant")]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// Random bytes for an id: from the browser's crypto, or weaker ones where a page has broken it.
pub(crate) fn random() -> [u8; 10] {
    let mut bytes = [0_u8; 10];
    let drawn = window().crypto().and_then(|crypto| crypto.get_random_values_with_u8_array(&mut bytes));
    if drawn.is_err() {
        for byte in &mut bytes {
            *byte = u8::try_from(whole(Math::random() * 256.0)).unwrap_or(0);
        }
    }
    bytes
}

/// A number that differs from page to page.
pub(crate) fn seed() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = random();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
