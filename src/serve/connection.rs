use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Place;

/// A connection that ends with an error when it is cut: when nothing was written on it for too long, or
/// its place is needed. Of what clients *send*, only the beginning of a request counts: the rest can
/// be trickled for ever.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    place: Place,
    /// Whether nothing was read since the last write: what is read next begins a request.
    answered: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, place: Place) -> Self {
        Self {
            stream,
            place,
            answered: true,
        }
    }

    /// An error if this connection was cut.
    fn uncut(&self) -> io::Result<()> {
        match self.place.is_cut() {
            false => Ok(()),
            true => Err(cut()),
        }
    }

    /// An error if this connection, which has nothing to do, was cut; else sees to it that the task is
    /// woken when it is.
    fn wait(&self, cx: &Context<'_>) -> io::Result<()> {
        self.place.watch(cx.waker());
        self.uncut()
    }

    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(1..)) => {
                self.answered = true;
                self.place.answered();
            }
            Poll::Ready(_) => {}
            Poll::Pending => self.wait(cx)?,
        }
        result
    }

    /// The first bytes of a request count, so that it is not cut just because it came late.
    ///
    /// # Errors
    ///
    /// If it was cut already: then the request must not begin, for its answer could not be sent.
    fn read(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.answered) && !self.place.asked() {
            false => Ok(()),
            true => Err(cut()),
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "cut, for it was idle, or its place was needed",
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
        if buf.filled().len() > before {
            self.read()?;
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
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
