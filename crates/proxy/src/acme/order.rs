//! One order, from the names to the certificate (RFC 8555 §7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use portreeve_config::AcmeChallenge;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::challenges::{Challenges, Published};
use super::failure::Failure;

/// The authority is asked how far it is after this, and then less and less often.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_mins(2));

/// Gets a certificate for these names. Gives its key and its chain, as PEM.
pub(super) async fn obtain(
    account: &Account,
    names: &[String],
    by: AcmeChallenge,
    challenges: &Challenges,
) -> Result<String, Failure> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let proven = prove(&mut order, by, challenges).await;
    if let Err(failure) = proven {
        // The authority says of the order that it failed, and why of the challenge only.
        return Err(why(&mut order).await.unwrap_or(failure));
    }
    let made = |error: rcgen::Error| Failure::Failed(format!("cannot make a request for a certificate: {error}"));
    let key = KeyPair::generate().map_err(made)?;
    let mut params = CertificateParams::new(names).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(made)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLL).await?;
    Ok(key.serialize_pem() + &chain)
}

/// Answers every challenge, until the authority is content.
async fn prove(order: &mut Order, by: AcmeChallenge, challenges: &Challenges) -> Result<(), Failure> {
    // Answered until the order is ready.
    let mut published = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(Failure::Refused(format!("an authorization is {other:?}"))),
        }
        let (kind, name) = match by {
            AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let none = || Failure::Refused(format!("it does not offer {name}"));
        let mut challenge = authorization.challenge(kind).ok_or_else(none)?;
        published.push(publish(&challenge, by, challenges)?);
        challenge.set_ready().await?;
    }
    match order.poll_ready(&POLL).await? {
        OrderStatus::Ready => Ok(()),
        other => Err(Failure::Refused(format!("the order is {other:?}"))),
    }
}

fn publish(challenge: &ChallengeHandle<'_>, by: AcmeChallenge, challenges: &Challenges) -> Result<Published, Failure> {
    let authorization = challenge.key_authorization();
    match by {
        AcmeChallenge::Http01 => Ok(challenges.publish_page(&challenge.token, authorization.as_str())),
        AcmeChallenge::TlsAlpn01 => {
            let Identifier::Dns(name) = challenge.identifier().identifier else {
                return Err(Failure::Refused("it asks to prove what is no name".to_owned()));
            };
            let digest = authorization.digest();
            let digest = digest.as_ref().try_into().map_err(|_| Failure::Failed("a digest is too short".to_owned()))?;
            challenges.publish_handshake(name, digest).map_err(Failure::Failed)
        }
    }
}

/// What the authority holds against one of the names, if it does.
async fn why(order: &mut Order) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let name = state.identifier().to_string();
        let mut failed = state.challenges.iter().filter(|challenge| challenge.status == ChallengeStatus::Invalid);
        if let Some(problem) = failed.find_map(|challenge| challenge.error.as_ref()) {
            return Some(Failure::Refused(format!("{name}: {problem}")));
        }
    }
    None
}
