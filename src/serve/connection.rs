use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::{Activity, Place};

/// How much hyper buffers of what comes at the most, in bytes: a request whose head is longer is refused, 431.
const MAX_BUFFER: usize = 8 * 1024 + 4 * 1024 * 100;

/// With how much hyper begins: what a connection holds below that is not told, so that nearly no request has to.
const FIRST_BUFFER: usize = 8 * 1024;

/// A connection that ends with an error when it is cut: when nothing was written on it for too long, or
/// its place or its memory is needed. Of what clients *send*, only the beginning of a request counts: the rest can
/// be trickled for ever.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    place: Place,
    /// How much was read since the last write, in bytes. If nothing, what is read next begins a request.
    unanswered: usize,
    /// How much may be left in hyper's buffer from before that: of further requests, or of memory that it keeps, for a
    /// buffer does not shrink.
    kept: usize,
    /// Whether something was written that may not be all.
    is_writing: bool,
    /// Whether the task has been seen to be woken when this is cut.
    is_watched: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, place: Place) -> Self {
        Self {
            stream,
            place,
            unanswered: 0,
            kept: 0,
            is_writing: false,
            is_watched: false,
        }
    }

    /// What its requests are noted in.
    pub(super) fn activity(&self) -> Arc<Activity> {
        self.place.activity()
    }

    /// An error if this connection was cut.
    fn uncut(&self) -> io::Result<()> {
        match self.place.is_cut() {
            false => Ok(()),
            true => Err(cut()),
        }
    }

    /// An error if this connection was cut; else sees to it that the task is
    /// woken when it is.
    fn wait(&mut self, cx: &Context<'_>) -> io::Result<()> {
        self.is_watched = true;
        self.place.watch(cx.waker());
        self.uncut()
    }

    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(1..)) => self.has_written(),
            Poll::Ready(_) => {}
            Poll::Pending => {
                self.place.awaited();
                self.wait(cx)?;
            }
        }
        result
    }

    fn has_written(&mut self) {
        let before = self.held();
        self.kept = self.kept.max(self.unanswered).min(MAX_BUFFER);
        self.unanswered = 0;
        if before > FIRST_BUFFER {
            self.place.holds(self.held());
        }
        self.is_writing = true;
        self.place.used();
    }

    /// The first bytes of a request count, so that it is not cut just because it came late.
    ///
    /// # Errors
    ///
    /// If it was cut already: then the request must not begin, for its answer could not be sent. Or if it is cut now,
    /// since it holds too much.
    fn has_read(&mut self, bytes: usize) -> io::Result<()> {
        if self.unanswered == 0 && !self.place.used() {
            return Err(cut());
        }
        self.unanswered += bytes;
        if self.held() <= FIRST_BUFFER {
            return Ok(());
        }
        self.place.holds(self.held());
        self.uncut()
    }

    /// How much of requests is in memory, in bytes, at the most.
    fn held(&self) -> usize {
        self.kept + self.unanswered
    }
}

fn cut() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "cut, for it was idle, or its place or memory was needed",
    )
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.uncut()?;
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            self.has_read(bytes)?;
        }
        if result.is_pending() {
            self.wait(cx)?;
        }
        result
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.uncut()?;
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.uncut()?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // While the app has a request, and another one is there already, hyper asks for nothing else.
        match self.is_watched {
            true => self.uncut()?,
            false => self.wait(cx)?,
        }
        // hyper flushes when it has written all that it had.
        if mem::take(&mut self.is_writing) {
            self.place.written();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
