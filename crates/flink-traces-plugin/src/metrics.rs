//! The optional page for Prometheus, with the accounts of all reporters of this process.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flink_traces_runtime::ReporterStats;
use flink_traces_runtime::metrics::{Format, NOT_LOOPBACK, Page, is_loopback_name};

/// The time limit of a connection. A scraper sends its request at once.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The size of the largest request.
const MAX_REQUEST: usize = 8 << 10;
/// The pause after a connection that could not be accepted, which may have a lasting reason.
const PAUSE: Duration = Duration::from_millis(100);

/// The accounts of all reporters.
pub type Accounts = fn() -> Vec<ReporterStats>;

/// An address to listen at, with one or several ports to try.
///
/// Several processes on a host can share a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    ip: IpAddr,
    ports: RangeInclusive<u16>,
}

impl Listen {
    /// The form of the text, for messages.
    pub const EXPECTED: &str = "a port, a range such as `9250-9260`, or an IP address with either";
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (ip, ports) = match text.trim().rsplit_once(':') {
                Some((ip, ports)) => (ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?, ports),
                None => (Ipv4Addr::LOCALHOST.into(), text.trim()),
            };
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let ports = first.parse().ok()?..=last.parse().ok()?;
            (!ports.is_empty()).then_some(Self { ip, ports })
        };
        read().ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::new(self.ip, *self.ports.start()))?;
        if self.ports.start() < self.ports.end() { write!(f, "-{}", self.ports.end()) } else { Ok(()) }
    }
}

/// Serves the page at the first free port for as long as the process lives, and returns its
/// address.
///
/// If this process listens there already, that listener goes on, because all reporters have one
/// page.
///
/// # Errors
///
/// Returns the error of the last port.
pub fn serve(listen: &Listen, accounts: Accounts) -> io::Result<SocketAddr> {
    static SERVED: Mutex<Vec<(Listen, SocketAddr)>> = Mutex::new(Vec::new());
    let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, address)) = served.iter().find(|(known, _)| known == listen) {
        return Ok(*address);
    }
    let address = start(listen, accounts)?;
    served.push((listen.clone(), address));
    Ok(address)
}

fn start(listen: &Listen, accounts: Accounts) -> io::Result<SocketAddr> {
    let mut result = Err(ErrorKind::AddrInUse.into());
    for port in listen.ports.clone() {
        result = TcpListener::bind((listen.ip, port));
        if result.is_ok() {
            break;
        }
    }
    let listener = result?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("metrics".to_owned()).spawn(move || accept(&listener, accounts))?;
    Ok(address)
}

/// Serves one connection after the other.
fn accept(listener: &TcpListener, accounts: Accounts) {
    loop {
        match listener.accept() {
            // A client that goes away is no fault of this process.
            Ok((stream, _)) => drop(respond(&stream, accounts)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn respond(mut stream: &TcpStream, accounts: Accounts) -> io::Result<()> {
    stream.set_write_timeout(Some(TIMEOUT))?;
    let head = read_head(stream)?;
    let is_local = stream.local_addr()?.ip().is_loopback();
    stream.write_all(response(&head, is_local, accounts).as_bytes())
}

/// Reads the head of a request.
fn read_head(mut stream: &TcpStream) -> io::Result<String> {
    let until = Instant::now() + TIMEOUT;
    let mut head = Vec::new();
    let mut buffer = [0; 1 << 10];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() >= MAX_REQUEST {
            return Err(ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    String::from_utf8(head).map_err(|_| ErrorKind::InvalidData.into())
}

/// Returns the response to a request.
fn response(head: &str, is_local: bool, accounts: Accounts) -> String {
    let header = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let plain = "text/plain; charset=utf-8";
    let (status, media_type, body) = if is_local && !is_loopback_name(header("host").unwrap_or_default()) {
        ("421 Misdirected Request", plain, format!("{NOT_LOOPBACK}\n"))
    } else if path != "/metrics" {
        ("404 Not Found", plain, "the page is /metrics\n".to_owned())
    } else if method != "GET" {
        ("405 Method Not Allowed", plain, "use GET\n".to_owned())
    } else {
        let format = Format::accepted(header("accept").unwrap_or_default());
        let mut page = Page::new(format);
        page.reporters(&accounts());
        ("200 OK", format.media_type(), page.finish())
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests;
