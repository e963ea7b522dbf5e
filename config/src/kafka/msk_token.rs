//! The token by which AWS MSK lets an IAM identity in: a signed URL for `kafka-cluster:Connect`, in base64.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use skein_shared::aws_chain::Credentials;

use crate::kafka::token::Token;

/// How long a token is good, the longest that MSK takes. The client asks for the next one when 80 % have passed.
const LIFETIME: Duration = Duration::from_mins(15);

/// Signs a token.
pub(super) fn sign_token(
    credentials: &Credentials,
    region: &str,
    now: SystemTime,
) -> Result<Token, String> {
    let url = signed_url(credentials, region, now)?;
    // The brokers log this part, which is not signed.
    let url = format!("{url}&User-Agent=skein");
    let expires = (now + LIFETIME)
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|error| error.to_string())?;
    Ok(Token {
        value: URL_SAFE_NO_PAD.encode(url),
        principal: credentials.access_key_id().to_owned(),
        expires_ms: i64::try_from(expires.as_millis()).map_err(|error| error.to_string())?,
    })
}

fn signed_url(credentials: &Credentials, region: &str, now: SystemTime) -> Result<String, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|error| error.to_string())?;
    let (instructions, _signature) = sign(request, &parameters.into())
        .map_err(|error| error.to_string())?
        .into_parts();
    let mut request = http::Request::get(&url)
        .body(())
        .map_err(|error| error.to_string())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 2026-01-02T03:04:05Z.
    const NOW_S: u64 = 1_767_323_045;

    /// What botocore 1.44's `SigV4QueryAuth("kafka-cluster", "eu-central-1", expires=900)` makes of the same
    /// request, keys and time.
    const WITHOUT_SESSION: &str = "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Fkafka-cluster%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=00629abe90095b91c1a9e460b67a01a8e4e7499b99f571276b99dd9258dd65e5";
    const WITH_SESSION: &str = "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Fkafka-cluster%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
        &X-Amz-Security-Token=FwoGZXIvYXdzEXAMPLE%2B%2F%3D%3D\
        &X-Amz-Signature=38872b97622a8f3dec16ff6d2240e846da373882c57d3fce079a31dbaa80388b";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
    }

    fn credentials(session: Option<&str>) -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        Credentials::new(
            "AKIDEXAMPLE",
            secret,
            session.map(str::to_owned),
            None,
            "test",
        )
    }

    /// Address and parameters, whose order is nobody's business.
    fn parts(url: &str) -> (&str, BTreeSet<&str>) {
        let (address, query) = url.split_once('?').unwrap();
        (address, query.split('&').collect())
    }

    #[track_caller]
    fn check(session: Option<&str>, expected: &str) {
        let token = sign_token(&credentials(session), "eu-central-1", now()).unwrap();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(&token.value).unwrap()).unwrap();
        assert_eq!(parts(&url), parts(&format!("{expected}&User-Agent=skein")));
        assert_eq!(
            token.expires_ms,
            i64::try_from((NOW_S + 900) * 1000).unwrap()
        );
        assert_eq!(token.principal, "AKIDEXAMPLE");
    }

    #[test]
    fn a_token_is_the_url_that_another_signer_makes() {
        check(None, WITHOUT_SESSION);
        check(Some("FwoGZXIvYXdzEXAMPLE+/=="), WITH_SESSION);
    }
}
