//! Statuses, headers and bodies of collectors mean what OTLP specifies.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::error::BoxError;

const NOW: Duration = Duration::from_secs(784_111_777);

#[test]
fn failed_handshake_has_its_likely_cause() {
    use rustls::{AlertDescription, CertificateError, Error, OtherError};
    let of_webpki =
        |text: &str| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::from(BoxError::from(text)))));
    let (signature_algorithm_id, supported_algorithms) = (Vec::new(), Vec::new());
    let weak = CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, supported_algorithms };
    let alert = |description| Error::AlertReceived(description);
    for (error, hint) in [
        (Error::InvalidCertificate(CertificateError::UnknownIssuer), Some(Hint::UnknownIssuer)),
        (Error::InvalidCertificate(CertificateError::Expired), Some(Hint::CertificateTime)),
        (Error::InvalidCertificate(CertificateError::NotValidYet), Some(Hint::CertificateTime)),
        (Error::InvalidCertificate(CertificateError::NotValidForName), Some(Hint::OtherHost)),
        (Error::InvalidCertificate(CertificateError::Revoked), None),
        (Error::InvalidCertificate(weak), Some(Hint::WeakSignature)),
        (of_webpki("CaUsedAsEndEntity"), Some(Hint::AuthorityAsServer)),
        (of_webpki("UnsupportedCertVersion"), Some(Hint::OldCertificate)),
        (of_webpki("PathLenConstraintViolated"), None),
        (alert(AlertDescription::CertificateRequired), Some(Hint::ClientCertificate)),
        (alert(AlertDescription::UnknownCA), Some(Hint::ClientCertificate)),
        (alert(AlertDescription::ProtocolVersion), Some(Hint::OldTls)),
        (alert(AlertDescription::InternalError), None),
        (alert(AlertDescription::NoApplicationProtocol), Some(Hint::OtherProtocol)),
    ] {
        let wrapped = io::Error::other(error.clone());
        let response = Response::none(&wrapped);
        assert_eq!((response.verdict, response.hint), (Verdict::TlsFailed, hint), "{error}");
    }
}

/// The types of these errors are private, so their texts decide.
#[test]
fn connection_error_is_known_by_its_text() {
    let refused = Verdict::Refused(Refusal::Credentials);
    for (text, verdict, hint) in [
        ("tunnel error: proxy authorization required", refused, Some(Hint::ProxyCredentials)),
        ("HTTP/2 was not negotiated.", Verdict::TlsFailed, Some(Hint::OtherProtocol)),
        ("broken pipe", Verdict::NoResponse, None),
    ] {
        let response = Response::none(&io::Error::other(text));
        assert_eq!(response, Response { hint, ..Response::new(verdict, text) });
    }
}

#[test]
fn reason_has_each_cause_once() {
    #[derive(Debug)]
    struct Outer(io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot connect")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let inner = io::Error::other(io::Error::other("broken pipe"));
    assert_eq!(Response::none(&Outer(inner)).reason, "cannot connect: broken pipe");
}

#[test]
fn http_status_means_what_otlp_specifies() {
    let check = |status: u16, headers: &[(&'static str, &str)], body: &[u8], verdict: Verdict, reason: &str| {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let response = Response::from_http(status, &headers, body, SystemTime::UNIX_EPOCH + NOW);
        assert_eq!(response, Response::new(verdict, format!("HTTP {status}{reason}")));
    };
    let later = |seconds| Verdict::Later { delay: Some(Duration::from_secs(seconds)) };
    let some_time = LATER;
    for (statuses, verdict) in
        [(&[502, 504][..], some_time), (&[400], Verdict::Invalid), (&[408, 422, 500], Verdict::Rejected)]
    {
        for status in statuses {
            check(*status, &[("retry-after", "7")], b" no ", verdict, ": no");
        }
    }
    check(413, &[], b"", Verdict::TooLarge, "");
    for status in [429, 503] {
        for (text, verdict) in [
            ("7", later(7)),
            (" 0 ", later(0)),
            ("315360000", later(315_360_000)),
            ("Sun, 06 Nov 1994 08:49:39 GMT", later(2)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", later(0)),
            ("soon", some_time),
            ("-1", some_time),
            ("1.5", some_time),
            ("99999999999999999999", some_time),
        ] {
            check(status, &[("retry-after", text)], b"", verdict, "");
        }
        check(status, &[], b"", some_time, "");
    }
    let protobuf = [("content-type", "application/x-protobuf")];
    check(400, &protobuf, b"\x08\x03\x12\x03bad", Verdict::Invalid, ": bad");
    check(400, &protobuf, b"\xff", Verdict::Invalid, "");
    check(400, &[("location", "http://elsewhere/")], b"bad", Verdict::Invalid, ": bad");

    let packed = |text: &[u8]| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let page = packed(b"no upstream");
    for encoding in ["gzip", "x-gzip"] {
        let compressed = [("content-encoding", encoding)];
        check(503, &compressed, &page, some_time, ": no upstream");
        check(503, &compressed, b"no gzip", some_time, "");
        check(503, &compressed, &packed(&vec![b' '; 1 << 20]), some_time, "");
    }
    let compressed = [("content-encoding", "gzip"), protobuf[0]];
    check(400, &compressed, &packed(b"\x08\x03\x12\x03bad"), Verdict::Invalid, ": bad");
}

#[test]
fn grpc_status_means_what_otlp_specifies() {
    let retry_info = |delay: &[u8]| {
        let mut detail = b"\x0a\x28type.googleapis.com/google.rpc.RetryInfo".to_vec();
        detail.extend([0x12, delay.len() as u8 + 2, 0x0a, delay.len() as u8]);
        detail.extend(delay);
        let mut status = vec![0x08, 0x08, 0x1a, detail.len() as u8];
        status.extend(detail);
        status
    };
    let later = |millis| Verdict::Later { delay: Some(Duration::from_millis(millis)) };
    let some_time = LATER;
    let check = |codes: &[i32], details: &[u8], verdict: Verdict| {
        for code in codes.iter().map(|code| Code::from(*code)) {
            let status = Status::with_details(code, "m", details.to_vec().into());
            assert_eq!(Response::from_grpc_status(&status), Response::new(verdict, format!("gRPC {code:?}: m")));
        }
    };
    check(&[1, 4, 10, 11, 14, 15], b"", some_time);
    check(&[2, 5, 6, 9, 13], b"", Verdict::Rejected);
    check(&[3], b"", Verdict::Invalid);
    check(&[8], b"", Verdict::Exhausted);
    // 1 s and 500,000,000 ns; nothing; -1 s; garbage.
    check(&[8, 14], &retry_info(b"\x08\x01\x10\x80\xca\xb5\xee\x01"), later(1500));
    check(&[8, 14], &retry_info(b""), later(0));
    check(&[14], &retry_info(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), some_time);
    check(&[14], b"\x1a\x7fgarbage", some_time);
}

#[test]
fn refusal_of_every_request_has_its_remedy() {
    const PLAIN_TO_TLS: &str = "Client sent an HTTP request to an HTTPS server.\n";
    let credentials = Verdict::Refused(Refusal::Credentials);
    let address = Verdict::Refused(Refusal::Address);
    for (statuses, body, verdict, hint) in [
        (&[401, 403, 511][..], "no", credentials, None),
        (&[407], "no", credentials, Some(Hint::ProxyCredentials)),
        (&[404, 405, 410], "no", address, Some(Hint::NoPath)),
        (&[406, 415, 421, 426, 501, 505], "no", address, Some(Hint::OtherProtocol)),
        (&[301, 302, 303, 307, 308], "no", address, Some(Hint::Redirect)),
        (&[400], PLAIN_TO_TLS, address, Some(Hint::PlainToTls)),
        (&[400], "The plain HTTP request was sent to HTTPS port", address, Some(Hint::PlainToTls)),
        (&[400], "You're speaking plain HTTP to an SSL-enabled server port.", address, Some(Hint::PlainToTls)),
        (&[400], "This combination of host and port requires TLS.", address, Some(Hint::PlainToTls)),
        (&[400], "invalid attribute https://example.com", Verdict::Invalid, None),
    ] {
        for status in statuses {
            let status = StatusCode::from_u16(*status).unwrap();
            let response = Response::from_http(status, &HeaderMap::new(), body.as_bytes(), SystemTime::now());
            assert_eq!((response.verdict, response.hint), (verdict, hint), "{status} {body}");
            assert_eq!(response.reason, format!("HTTP {status}: {}", body.trim()));
        }
    }
    let headers = [(LOCATION, "http://elsewhere/".parse().unwrap())].into_iter().collect();
    let response = Response::from_http(StatusCode::FOUND, &headers, b"body", SystemTime::now());
    assert_eq!(response.reason, "HTTP 302 Found: redirect to http://elsewhere/ not followed");
    for (code, verdict, hint) in [
        (Code::Unauthenticated, credentials, None),
        (Code::PermissionDenied, credentials, None),
        (Code::Unimplemented, address, Some(Hint::NoService)),
    ] {
        let response = Response::from_grpc_status(&Status::new(code, "m"));
        assert_eq!((response.verdict, response.hint), (verdict, hint), "{code:?}");
    }
}

/// Returns the number of rejected records, the reason and whether the success is odd. Returns
/// `None` for a web page.
fn success(kind: &str, body: &[u8], expected: &str) -> Option<(u64, String, bool)> {
    let headers = [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
    let response = Response::from_http_success(StatusCode::OK, &headers, body, expected);
    match response.verdict {
        Verdict::Accepted { rejected } => Some((rejected, response.reason, response.is_odd)),
        _ => {
            assert_eq!((response.verdict, response.hint), (LATER, Some(Hint::WebPage)));
            assert!(response.reason.starts_with("HTTP 200 OK with a web page"), "{}", response.reason);
            None
        }
    }
}

#[test]
fn any_success_but_a_web_page_is_accepted() {
    let cases: [(&str, &[u8], u64, &str, bool); 23] = [
        (PROTOBUF, b"", 0, "", false),
        ("Application/X-Protobuf; v=1", b"\x0a\x00", 0, "", false),
        (PROTOBUF, b"\x0a\x04\x08\x03\x12\x00", 3, "no reason given", false),
        (PROTOBUF, b"\x0a\x06\x08\x03\x12\x02no", 3, "no", false),
        (PROTOBUF, b"\x0a\x04\x12\x02hm", 0, "hm", false),
        (PROTOBUF, b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, "", false),
        (PROTOBUF, b"\x0a\x02\x08\xff", 0, "", true),
        (PROTOBUF, b"\x01\x02not protobuf", 0, "", true),
        // A line feed before `<` is a field of protobuf.
        (PROTOBUF, b"\x0a\x3c", 0, "", true),
        (JSON, b"", 0, "", true),
        (JSON, b"{}", 0, "", false),
        (JSON, b"null", 0, "", true),
        (JSON, b"[]", 0, "", true),
        (JSON, b"{", 0, "", true),
        (JSON, br#"{"partialSuccess":null}"#, 0, "", false),
        (JSON, br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#, 3, "no", false),
        (JSON, br#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2, "no reason given", false),
        (JSON, br#"{"partialSuccess":{"rejectedSpans":-1,"errorMessage":"hm"}}"#, 0, "hm", false),
        ("", b"", 0, "", true),
        ("text/plain", b"OK", 0, "", true),
        ("text/plain", b"", 0, "", true),
        ("text/plain", b"a < b", 0, "", true),
        ("application/octet-stream", b"\x0a\x04\x08\x03\x12\x00", 0, "", true),
    ];
    for (kind, body, rejected, reason, is_odd) in cases {
        let expected = if kind == JSON { JSON } else { PROTOBUF };
        let found = success(kind, body, expected);
        assert_eq!(found, Some((rejected, reason.to_owned(), is_odd)), "{kind} {body:?}");
    }
    assert_eq!(success(JSON, b"{}", PROTOBUF), Some((0, String::new(), true)));
    for (kind, body) in [
        ("text/html", &b""[..]),
        ("Text/HTML; charset=utf-8", b"Sign in"),
        ("application/xhtml+xml", b"Sign in"),
        ("", b"<!doctype html>"),
        ("text/plain", b"\xef\xbb\xbf \r\n<html>"),
        (JSON, b"<html>"),
        (PROTOBUF, b"<html>"),
    ] {
        assert_eq!(success(kind, body, PROTOBUF), None, "{kind} {body:?}");
    }
}
