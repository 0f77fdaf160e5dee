//! Addresses, requests, and connections that go wrong.

use super::*;

fn listen(text: &str) -> Listen {
    text.parse().unwrap()
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn address_is_read_from_text() {
    for (text, expected) in [
        ("9250", "127.0.0.1:9250"),
        (" 9250-9260 ", "127.0.0.1:9250-9260"),
        ("0.0.0.0:9250", "0.0.0.0:9250"),
        ("10.0.0.1:1-2", "10.0.0.1:1-2"),
        ("[::]:9250-9251", "[::]:9250-9251"),
    ] {
        assert_eq!(listen(text).to_string(), expected);
    }
    for text in ["", "x", "65536", "9260-9250", "localhost:9250", "9250-", ":9250", "1-2-3"] {
        assert_eq!(text.parse::<Listen>(), Err(Listen::EXPECTED), "{text}");
    }
}

#[test]
fn request_without_page_is_refused() {
    for (head, is_local, expected) in [
        ("GET /metrics HTTP/1.1\r\nHost: localhost:1\r\n\r\n", true, "200 OK"),
        ("GET /metrics?x HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", true, "200 OK"),
        ("GET /metrics HTTP/1.1\r\nHost: example.com\r\n\r\n", true, "421 Misdirected Request"),
        ("GET /metrics HTTP/1.1\r\n\r\n", true, "421 Misdirected Request"),
        ("GET /metrics HTTP/1.1\r\nHost: example.com\r\n\r\n", false, "200 OK"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", true, "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", true, "405 Method Not Allowed"),
        ("\r\n\r\n", false, "404 Not Found"),
    ] {
        let found = response(head, is_local, Vec::new);
        assert!(found.starts_with(&format!("HTTP/1.1 {expected}\r\n")), "{head}: {found}");
    }
}

#[test]
fn accept_header_selects_the_format() {
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n";
    let found = response(head, true, Vec::new);
    assert!(found.contains("content-type: application/openmetrics-text") && found.ends_with("# EOF\n"), "{found}");
}

/// Guarantees: a client that sends too much, or nothing, does not keep others from the page.
#[test]
fn bad_client_does_not_end_the_page() {
    let address = start(&listen("0"), Vec::new).unwrap();
    drop(TcpStream::connect(address).unwrap());
    let _silent = TcpStream::connect(address).unwrap();
    let mut endless = TcpStream::connect(address).unwrap();
    // The listener may close the connection before everything is written.
    let _ = endless.write_all(&vec![b'x'; 4 * MAX_REQUEST]);
    let found = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
}

#[test]
fn next_port_of_a_range_is_used_if_one_is_taken() {
    // Two neighboring ports, of which this test takes the first.
    let (taken, first) = loop {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        if let Some(next) = port.checked_add(1)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()
        {
            break (taken, port);
        }
    };
    let range = listen(&format!("{first}-{}", first + 1));
    let address = serve(&range, Vec::new).unwrap();
    assert_eq!(address.port(), first + 1);
    assert_eq!(serve(&range, Vec::new).unwrap(), address);
    let problem = serve(&listen(&first.to_string()), Vec::new).unwrap_err();
    assert_eq!(problem.kind(), ErrorKind::AddrInUse);
    drop(taken);
}
