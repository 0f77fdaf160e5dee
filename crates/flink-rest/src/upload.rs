//! The upload of a jar, which is read while it is sent.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use crate::multipart::{head, tail};

/// The size of a piece that is read and sent.
const PIECE_BYTES: usize = 64 * 1024;

/// A jar to upload.
#[derive(Debug)]
#[non_exhaustive]
pub struct JarFile<R> {
    /// The name, which ends in `.jar`. It becomes part of the jar's id.
    pub name: String,
    /// The size, in bytes.
    pub length: u64,
    /// The content.
    pub content: R,
}

impl<R> JarFile<R> {
    /// Creates a jar of that name, size and content.
    pub fn new(name: impl Into<String>, length: u64, content: R) -> Self {
        Self { name: name.into(), length, content }
    }
}

/// The body of the request: head, content and tail.
pub(crate) struct Upload<R, F> {
    head: Option<Bytes>,
    content: R,
    length: u64,
    sent: u64,
    tail: Option<Bytes>,
    progress: F,
}

impl<R, F> Upload<R, F> {
    /// Creates the media type and the body.
    pub(crate) fn new(jar: JarFile<R>, progress: F) -> (String, Self) {
        // The content of a jar cannot contain a random boundary on purpose.
        let random = RandomState::new();
        let boundary = format!("flink-rest-{:016x}{:016x}", random.hash_one(0), random.hash_one(1));
        let head = head(&boundary, "jarfile", Some(&jar.name), Some("application/java-archive"));
        let upload = Self {
            head: Some(head.into()),
            content: jar.content,
            length: jar.length,
            sent: 0,
            tail: Some(tail(&boundary).into()),
            progress,
        };
        (format!("multipart/form-data; boundary={boundary}"), upload)
    }
}

impl<R: AsyncRead + Unpin, F: FnMut(u64) + Unpin> Body for Upload<R, F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let left = self.length - self.sent;
        if left == 0 {
            return Poll::Ready(self.tail.take().map(|tail| Ok(Frame::data(tail))));
        }
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
        let mut buffer = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.content).poll_read(context, &mut buffer))?;
        let length = buffer.filled().len();
        if length == 0 {
            let problem = format!("the jar ends after {} of {} bytes", self.sent, self.length);
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem))));
        }
        piece.truncate(length);
        self.sent += length as u64;
        let sent = self.sent;
        (self.progress)(sent);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length_of = |text: &Option<Bytes>| text.as_ref().map_or(0, |text| text.len() as u64);
        SizeHint::with_exact(length_of(&self.head) + self.length - self.sent + length_of(&self.tail))
    }
}
