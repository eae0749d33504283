//! Plugins of the tests: they leave a trail, fail on request, and change bodies.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use portreeve_plugin::prelude::*;

const TRAIL: HeaderName = HeaderName::from_static("x-trail");

/// Adds its tag to `x-trail` of the request and of the answer; answers by itself if it is told to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trail {
    /// What it adds.
    tag: String,
    /// Answers with this status.
    #[serde(default)]
    answer: Option<u16>,
}

#[async_trait]
impl Plugin for Trail {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        cx.append_header(TRAIL, HeaderValue::from_str(&self.tag)?);
        match self.answer {
            Some(status) => Ok(Reply::status(StatusCode::from_u16(status)?).because("told to").into()),
            None => Ok(Flow::Continue),
        }
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        cx.append_header(TRAIL, HeaderValue::from_str(&self.tag)?);
        Ok(())
    }

    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }
}

impl Build for Trail {
    const NAME: &'static str = "trail";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Fails where and how it is told to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faulty {
    /// The hook.
    at: Hook,
    /// Whether it panics instead of returning an error.
    #[serde(default)]
    panics: bool,
}

/// A hook that can fail.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Hook {
    Request,
    RequestBody,
    UpstreamRequest,
    Response,
    ResponseBody,
    Log,
}

impl Faulty {
    fn reach(&self, hook: Hook) -> Result<()> {
        if self.at != hook {
            return Ok(());
        }
        assert!(!self.panics, "a bug of the plugin");
        Err(Error::new("a failure of the plugin"))
    }
}

#[async_trait]
impl Plugin for Faulty {
    async fn on_request(&self, _cx: &mut RequestCx<'_>) -> Result<Flow> {
        self.reach(Hook::Request).map(|()| Flow::Continue)
    }

    async fn on_request_body(&self, _cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        self.reach(Hook::RequestBody).map(|()| Flow::Continue)
    }

    fn on_upstream_request(&self, _cx: &mut UpstreamCx<'_>) -> Result<()> {
        self.reach(Hook::UpstreamRequest)
    }

    async fn on_response(&self, _cx: &mut ResponseCx<'_>) -> Result<()> {
        self.reach(Hook::Response)
    }

    async fn on_response_body(&self, _cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        self.reach(Hook::ResponseBody)
    }

    fn on_log(&self, _cx: &LogCx<'_>) {
        // There is nobody left to be told of an error here.
        if self.panics {
            self.reach(Hook::Log).ok();
        }
    }
}

impl Build for Faulty {
    const NAME: &'static str = "faulty";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Turns bodies into capitals, puts brackets around what it was given at once, and refuses what says `forbidden`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shout {
    /// Changes the request's body.
    #[serde(default)]
    request: bool,
    /// Changes the answer's body.
    #[serde(default)]
    response: bool,
    /// Wants them whole, of at most so many bytes.
    #[serde(default)]
    whole: Option<usize>,
}

fn is_forbidden(chunk: &Bytes) -> bool {
    chunk.windows(9).any(|window| window == b"forbidden")
}

impl Shout {
    fn shout(&self, chunk: &Bytes) -> Bytes {
        let capitals = chunk.to_ascii_uppercase();
        if self.whole.is_some() { [b"[", &capitals[..], b"]"].concat().into() } else { capitals.into() }
    }
}

#[async_trait]
impl Plugin for Shout {
    fn hooks(&self) -> Hooks {
        let request = if self.whole.is_some() { Hooks::REQUEST } else { Hooks::REQUEST_BODY };
        let hooks = if self.request { request } else { Hooks::none() };
        if self.response { hooks | Hooks::RESPONSE_BODY } else { hooks }
    }

    fn response_access(&self) -> Access {
        self.whole.map_or(Access::Stream, Access::Buffer)
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let body = cx.body(self.whole.unwrap_or_default()).await?;
        if is_forbidden(&body) {
            return Ok(Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "that must not be said").into());
        }
        cx.set_body(self.shout(&body));
        Ok(Flow::Continue)
    }

    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        if is_forbidden(cx.chunk()) {
            return Ok(Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "that must not be said").into());
        }
        let shouted = self.shout(cx.chunk());
        cx.set_chunk(shouted);
        Ok(Flow::Continue)
    }

    async fn on_response_body(&self, cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        let shouted = self.shout(cx.chunk());
        cx.set_chunk(shouted);
        Ok(())
    }
}

impl Build for Shout {
    const NAME: &'static str = "shout";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Which hooks ran how often, by the id of the request and the tag of the step.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) request: u32,
    pub(crate) upstream_request: u32,
    pub(crate) response: u32,
    pub(crate) log: u32,
}

type Ledger = HashMap<(String, String), Tally>;

static LEDGERS: LazyLock<Mutex<HashMap<String, Ledger>>> = LazyLock::new(Mutex::default);

/// What the counting plugins of one test have written down, by request id and tag; forgotten thereby.
pub(crate) fn take_ledger(name: &str) -> Ledger {
    LEDGERS.lock().remove(name).unwrap_or_default()
}

/// Writes down each of its calls, and gives the request's id to the upstream as `x-counted-<tag>`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Count {
    /// Whose calls these are.
    tag: String,
    /// The book they are written in: one for each test.
    ledger: String,
}

impl Count {
    fn write(&self, id: &str, count: impl FnOnce(&mut Tally)) {
        let mut ledgers = LEDGERS.lock();
        let ledger = ledgers.entry(self.ledger.clone()).or_default();
        count(ledger.entry((id.to_owned(), self.tag.clone())).or_default());
    }
}

/// The request's id as this step remembers it: log hooks cannot ask for it.
#[derive(Debug, Default)]
struct Id(String);

#[async_trait]
impl Plugin for Count {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::UPSTREAM_REQUEST | Hooks::RESPONSE | Hooks::LOG
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let id = cx.request_id().to_string();
        self.write(&id, |tally| tally.request += 1);
        let name = HeaderName::try_from(format!("x-counted-{}", self.tag))?;
        cx.append_header(name, HeaderValue::from_str(&id)?);
        *cx.state::<Id>() = Id(id);
        Ok(Flow::Continue)
    }

    fn on_upstream_request(&self, cx: &mut UpstreamCx<'_>) -> Result<()> {
        let id = cx.request_id().to_string();
        self.write(&id, |tally| tally.upstream_request += 1);
        Ok(())
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let id = cx.request_id().to_string();
        self.write(&id, |tally| tally.response += 1);
        Ok(())
    }

    fn on_log(&self, cx: &LogCx<'_>) {
        if let Some(Id(id)) = cx.state::<Id>() {
            self.write(id, |tally| tally.log += 1);
        }
    }
}

impl Build for Count {
    const NAME: &'static str = "count";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Waits for something that never comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {}

#[async_trait]
impl Plugin for Wait {
    async fn on_request(&self, _cx: &mut RequestCx<'_>) -> Result<Flow> {
        std::future::pending().await
    }
}

impl Build for Wait {
    const NAME: &'static str = "wait";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

/// Takes every `x` out of bodies, whatever is left of a chunk: often nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Swallow {}

fn without_x(chunk: &Bytes) -> Bytes {
    chunk.iter().copied().filter(|byte| *byte != b'x').collect::<Vec<_>>().into()
}

#[async_trait]
impl Plugin for Swallow {
    async fn on_request_body(&self, cx: &mut RequestBodyCx<'_>) -> Result<Flow> {
        let left = without_x(cx.chunk());
        cx.set_chunk(left);
        Ok(Flow::Continue)
    }

    async fn on_response_body(&self, cx: &mut ResponseBodyCx<'_>) -> Result<()> {
        let left = without_x(cx.chunk());
        cx.set_chunk(left);
        Ok(())
    }
}

impl Build for Swallow {
    const NAME: &'static str = "swallow";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}
