//! What the demo prints: where everything is, and lines to paste that show what a gateway does.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{CONTROL_PORT, ISSUER_PORT, Samples, loopback};

/// Where the gateway of the demo is.
#[derive(Debug)]
pub(crate) struct Places {
    /// The configuration file.
    pub(crate) file: String,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    /// `off`, or `file:` and a path.
    pub(crate) access_log: String,
    /// The file of the operator's log.
    pub(crate) log: String,
}

/// The table of addresses and the lines to try.
///
/// # Errors
/// When the tokens cannot be signed.
pub(crate) fn guide(samples: &Samples, places: &Places) -> Result<String, String> {
    let free = samples.issuer.token("fred", "free")?;
    let paid = samples.issuer.token("ada", "paid")?;
    let url = format!("http://{}", reachable(places.gateway));
    let switches = format!("http://{}", loopback(CONTROL_PORT));
    let rows = table(samples, places, &url, &switches);
    Ok(format!(
        r#"
Portreeve is running, with sample services behind it.

{rows}
Paste the lines below into another terminal. First two tokens, valid for 12 hours:

FREE={free}
PAID={paid}

# Two versions of one API: by path, by header, by default. v1 says that it is going away.
curl -i {url}/v1/users/7 -H "authorization: Bearer $PAID"
curl -i {url}/users/7 -H "authorization: Bearer $PAID" -H "accept-version: v1"
curl -i {url}/users/7 -H "authorization: Bearer $PAID"

# Without a token: 401.
curl -i {url}/users/7; echo

# One answer made from three services.
curl -s {url}/dashboard/7 -H "authorization: Bearer $PAID"; echo

# The free tier is 100 requests a minute: of 120, the last 20 are 429. A refusal says when to come again.
curl -s -o /dev/null -w '%{{http_code}}\n' "{url}/users/[1-120]" -H "authorization: Bearer $FREE" | sort | uniq -c
curl -i {url}/users/7 -H "authorization: Bearer $FREE"; echo

# Two targets share version 2, one to three. Kill the larger, and nobody notices.
curl -s "{url}/users/[1-40]" -H "authorization: Bearer $PAID" | grep -o 'users-v2-[ab]' | sort | uniq -c
curl -X POST {switches}/kill/users-v2-b
curl -s "{url}/users/[1-40]" -H "authorization: Bearer $PAID" | grep -o 'users-v2-[ab]' | sort | uniq -c
curl -X POST {switches}/revive/users-v2-b

# Another token for whoever you like.
curl "http://{issuer}/token?sub=grace&plan=paid"; echo

Ctrl-C ends it.
"#,
        issuer = loopback(ISSUER_PORT),
    ))
}

fn table(samples: &Samples, places: &Places, url: &str, switches: &str) -> String {
    let mut rows = vec![("gateway", url.to_owned(), format!("serves {}; edit it and it takes effect", places.file))];
    if let Some(admin) = places.admin {
        let pages = "/metrics /readyz /api/v1/{status,routes,upstreams}";
        rows.push(("admin", format!("http://{}", reachable(admin)), pages.to_owned()));
    }
    for (name, address, _) in samples.states() {
        let pages = if name == "issuer" { "/.well-known/jwks.json /token?sub=ada&plan=paid" } else { "" };
        rows.push((name, format!("http://{address}"), pages.to_owned()));
    }
    rows.push(("switches", switches.to_owned(), "POST /kill/NAME, POST /revive/NAME".to_owned()));
    rows.push(("access log", places.access_log.clone(), String::new()));
    rows.push(("log", places.log.clone(), String::new()));
    rows.iter().fold(String::new(), |mut text, (what, at, note)| {
        let row = format!("  {what:16} {at:24} {note}");
        // Writing to a String does not fail.
        writeln!(text, "{}", row.trim_end()).ok();
        text
    })
}

/// The address to call from this machine: every address is also loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}
