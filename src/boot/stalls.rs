//! Connections whose other side does not read. What is sent to it waits, and what it holds (a live
//! picture, a seat) with it, so that after a while the connection is given up.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{self, Context, Poll},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long nothing may be taken at all of what is sent.
const STALLED: Duration = Duration::from_secs(20);
/// How long once the service stops.
const STALLED_AT_END: Duration = Duration::from_secs(1);

/// Bounds how long what is sent over a connection waits. Small answers are sent at once.
#[derive(Clone)]
pub(super) struct Patient {
    /// Cancelled when the service stops.
    stopping: CancellationToken,
    patience: Duration,
}

impl Patient {
    /// For a service that stops with a token.
    pub(super) fn until(stopping: CancellationToken) -> Self {
        Self {
            stopping,
            patience: STALLED,
        }
    }
}

impl<S> Accept<TcpStream, S> for Patient {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // An answer is small and complete: waiting for more to send only costs time.
        let accepted = stream.set_nodelay(true);
        let connection = |()| Connection {
            stream,
            bounds: self.clone(),
            stalled: None,
        };
        ready(accepted.map(connection).map(|stream| (stream, service)))
    }
}

/// A connection that is given up when nothing that is sent is taken.
pub(super) struct Connection {
    stream: TcpStream,
    bounds: Patient,
    /// Ends when nothing was taken for too long; there while something waits.
    stalled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// What was written, or that it waits for too long.
    fn bounded<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let Patient { stopping, patience } = self.bounds.clone();
        let stalled = self.stalled.get_or_insert_with(|| {
            Box::pin(async move {
                let stopped = async {
                    stopping.cancelled().await;
                    sleep(STALLED_AT_END).await;
                };
                tokio::select! {
                    () = sleep(patience) => {}
                    () = stopped => {}
                }
            })
        });
        task::ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use axum::{Router, body::Body, routing::get};
    use futures::stream;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::{Instant, timeout},
    };

    use super::*;

    /// Counts how many answers are under way.
    #[derive(Clone, Default)]
    struct Seats(Arc<AtomicUsize>);

    struct Seat(Seats);

    impl Drop for Seat {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Seats {
        fn taken(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        /// An answer that does not end and holds a seat.
        fn answer(&self) -> Body {
            self.0.fetch_add(1, Ordering::SeqCst);
            let seat = Seat(self.clone());
            let more = move |seat| async move {
                let piece = vec![0u8; 64 << 10];
                Some((Ok::<_, io::Error>(piece), seat))
            };
            Body::from_stream(stream::unfold(seat, more))
        }
    }

    /// Serves such answers; word of its end.
    async fn serve(bounds: Patient, seats: Seats) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async move || seats.answer()));
        let handle = axum_server::Handle::new();
        let (ends, stopping) = (handle.clone(), bounds.stopping.clone());
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        let serving = tokio::spawn(async move {
            let server = axum_server::from_tcp(listener).unwrap();
            let server = server.handle(handle).acceptor(bounds);
            let stop = async {
                stopping.cancelled().await;
                ends.graceful_shutdown(None);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                served = server.serve(router.into_make_service()) => served.unwrap(),
                () = stop => {}
            }
        });
        (address, serving)
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: rollcall\r\n\r\n";
        client.write_all(request).await.unwrap();
        client
    }

    async fn until_taken(seats: &Seats, count: usize) {
        let waiting = async {
            while seats.taken() != count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let taken = timeout(Duration::from_secs(10), waiting).await;
        taken.unwrap_or_else(|_| panic!("{} seats are taken", seats.taken()));
    }

    #[tokio::test]
    async fn whoever_does_not_read_loses_the_seat_and_who_reads_slowly_keeps_it() {
        let seats = Seats::default();
        let bounds = Patient {
            stopping: CancellationToken::new(),
            patience: Duration::from_millis(500),
        };
        let (address, serving) = serve(bounds, seats.clone()).await;
        let (_stalled, mut slow) = (ask(address).await, ask(address).await);
        until_taken(&seats, 2).await;
        let begin = Instant::now();
        let mut piece = vec![0; 2 << 20];
        while begin.elapsed() < Duration::from_secs(3) {
            slow.read_exact(&mut piece).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(seats.taken(), 1);
        drop(slow);
        until_taken(&seats, 0).await;
        serving.abort();
    }

    #[tokio::test]
    async fn whoever_does_not_read_does_not_hold_up_the_end() {
        let seats = Seats::default();
        let bounds = Patient::until(CancellationToken::new());
        let stopping = bounds.stopping.clone();
        let (address, serving) = serve(bounds, seats.clone()).await;
        let _stalled = ask(address).await;
        until_taken(&seats, 1).await;
        // Until all buffers on the way are full.
        sleep(Duration::from_secs(1)).await;
        stopping.cancel();
        let ended = timeout(STALLED_AT_END * 3, serving).await;
        ended.expect("it ends").unwrap();
        assert_eq!(seats.taken(), 0);
    }
}
