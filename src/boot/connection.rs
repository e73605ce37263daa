//! Accepted connections. Bounds their number, also from one address, and closes those whose client
//! sends no request or stops reading: a pending response holds resources, such as a live picture
//! and a viewer's seat.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Context, Poll},
    time::Duration,
};

use axum_server::accept::Accept;
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::debug;

use crate::http::address_key;

/// Maximum time without any progress of a write.
const STALLED: Duration = Duration::from_secs(20);
/// The same, once the service stops.
const STALLED_AT_END: Duration = Duration::from_secs(1);
/// Maximum time from the start of a connection to its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long a closed connection is read from if its client still sends: otherwise the system
/// resets it, and the client may never see the answer.
const LINGER: Duration = Duration::from_secs(1);

/// The connections that an address may have at least and at most, and its share of all.
const OF_ADDRESS: (usize, usize) = (64, 256);
const SHARE_OF_ADDRESS: usize = 8;

/// The open connections.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    most: usize,
    /// The proxies, whose connections are those of many clients.
    trusted: Vec<IpNet>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    /// Allows this many connections.
    pub(super) fn new(most: usize, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            most,
            trusted,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection from an address; `None` if there is none.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let proxy = self.trusted.iter().any(|net| net.contains(&peer));
        let address = (!proxy).then(|| address_key(peer));
        let mut taken = self.taken();
        if taken.total >= self.most {
            return None;
        }
        if let Some(address) = address {
            let (least, most) = OF_ADDRESS;
            let own = taken.by_address.entry(address).or_default();
            if *own >= (self.most / SHARE_OF_ADDRESS).clamp(least, most) {
                return None;
            }
            *own += 1;
        }
        taken.total += 1;
        Some(Place {
            places: self.clone(),
            address,
        })
    }
}

/// The place of a connection. Released when dropped.
struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total -= 1;
        if let Some(address) = self.address
            && let Some(own) = taken.by_address.get_mut(&address)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// An acceptor that applies the bounds, and disables Nagle's algorithm.
#[derive(Clone)]
pub(super) struct Acceptor {
    /// Canceled when the service stops.
    stopping: CancellationToken,
    places: Arc<Places>,
    write_timeout: Duration,
    first_request: Duration,
}

impl Acceptor {
    /// Creates the acceptor of a service that stops with a token.
    pub(super) fn new(stopping: CancellationToken, places: Arc<Places>) -> Self {
        Self {
            stopping,
            places,
            write_timeout: STALLED,
            first_request: FIRST_REQUEST,
        }
    }

    fn connection<S>(&self, stream: TcpStream, service: S) -> io::Result<(Connection, Begun<S>)> {
        let peer = stream.peer_addr()?.ip();
        let Some(place) = self.places.take(peer) else {
            debug!(client = %peer, "closed a connection, because there are too many");
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        // A response is small and complete: waiting for more data only adds latency.
        stream.set_nodelay(true)?;
        let begun = Arc::new(AtomicBool::new(false));
        let connection = Connection {
            stream,
            bounds: self.clone(),
            stalled: None,
            silent: Box::pin(sleep(self.first_request)),
            begun: begun.clone(),
            lingers: None,
            _place: place,
        };
        let inner = service;
        Ok((connection, Begun { inner, begun }))
    }
}

impl<S> Accept<TcpStream, S> for Acceptor {
    type Stream = Connection;
    type Service = Begun<S>;
    type Future = Ready<io::Result<(Connection, Begun<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.connection(stream, service))
    }
}

/// A service that notes when a connection's first request has arrived.
#[derive(Clone)]
pub(super) struct Begun<S> {
    inner: S,
    begun: Arc<AtomicBool>,
}

impl<R, S: Service<R>> Service<R> for Begun<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.begun.store(true, Ordering::Relaxed);
        self.inner.call(request)
    }
}

/// A connection whose reads fail if the first request is late, and whose writes fail if the client
/// stops reading.
pub(super) struct Connection {
    stream: TcpStream,
    bounds: Acceptor,
    /// The timer of a pending write; completes when it made no progress for too long.
    stalled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The timer of the first request.
    silent: Pin<Box<Sleep>>,
    begun: Arc<AtomicBool>,
    /// The timer of reading on after the end; `None` until there was something to read.
    lingers: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    /// Passes on the result of a write, or fails with `TimedOut` if it is pending for too long.
    fn with_timeout<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let (stopping, timeout) = (self.bounds.stopping.clone(), self.bounds.write_timeout);
        let stalled = self.stalled.get_or_insert_with(|| {
            Box::pin(async move {
                let stopped = async {
                    stopping.cancelled().await;
                    sleep(STALLED_AT_END).await;
                };
                tokio::select! {
                    () = sleep(timeout) => {}
                    () = stopped => {}
                }
            })
        });
        task::ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads and drops what the client still sends. Ends at once if it sends nothing.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            let lingers = match (read, &mut self.lingers) {
                (Poll::Ready(Err(_)), _) | (Poll::Pending, None) => return Poll::Ready(()),
                (Poll::Ready(Ok(())), _) if buffer.filled().is_empty() => return Poll::Ready(()),
                (Poll::Pending, Some(lingers)) => return lingers.as_mut().poll(context),
                (Poll::Ready(Ok(())), lingers) => {
                    lingers.get_or_insert_with(|| Box::pin(sleep(LINGER)))
                }
            };
            // Also between reads, because a fast client would never let one be pending.
            if lingers.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() && !self.begun.load(Ordering::Relaxed) {
            task::ready!(self.silent.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.with_timeout(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.with_timeout(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.with_timeout(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        task::ready!(self.with_timeout(context, shut))?;
        self.poll_linger(context).map(Ok)
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

    /// A counter of responses in progress.
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

        /// Returns an endless response that holds a seat.
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

    fn acceptor() -> Acceptor {
        Acceptor::new(CancellationToken::new(), Places::new(1000, Vec::new()))
    }

    /// Serves endless responses; returns the address and the task.
    async fn serve(bounds: Acceptor, seats: Seats) -> (SocketAddr, tokio::task::JoinHandle<()>) {
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
    async fn a_client_that_stops_reading_is_disconnected_and_a_slow_one_is_not() {
        let seats = Seats::default();
        let bounds = Acceptor {
            write_timeout: Duration::from_millis(500),
            ..acceptor()
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
    async fn a_client_that_stops_reading_does_not_delay_shutdown() {
        let seats = Seats::default();
        let bounds = acceptor();
        let stopping = bounds.stopping.clone();
        let (address, serving) = serve(bounds, seats.clone()).await;
        let _stalled = ask(address).await;
        until_taken(&seats, 1).await;
        // Wait until all buffers on the way are full.
        sleep(Duration::from_secs(1)).await;
        stopping.cancel();
        let ended = timeout(STALLED_AT_END * 3, serving).await;
        ended.expect("it ends").unwrap();
        assert_eq!(seats.taken(), 0);
    }

    /// Waits until the service closes a connection.
    async fn until_closed(client: &mut TcpStream) {
        let closed = timeout(Duration::from_secs(10), client.read(&mut [0; 64])).await;
        // The end, or a reset.
        assert_eq!(closed.expect("it is closed").unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_client_without_a_request_is_disconnected_however_slowly_it_sends() {
        let seats = Seats::default();
        let bounds = Acceptor {
            first_request: Duration::from_millis(500),
            ..acceptor()
        };
        let (address, serving) = serve(bounds, seats.clone()).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let (mut slow, mut writes) = TcpStream::connect(address).await.unwrap().into_split();
        let sends = async {
            while writes.write_all(b"GET").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let mut asks = ask(address).await;
        until_taken(&seats, 1).await;
        until_closed(&mut silent).await;
        timeout(Duration::from_secs(10), sends)
            .await
            .expect("it ends");
        assert_eq!(slow.read(&mut [0; 64]).await.unwrap_or(0), 0);
        asks.read_exact(&mut [0; 1 << 10]).await.unwrap();
        serving.abort();
    }

    #[tokio::test]
    async fn connections_are_bounded_in_all_and_places_are_given_back() {
        let places = Places::new(3, Vec::new());
        let bounds = Acceptor::new(CancellationToken::new(), places.clone());
        let (address, serving) = serve(bounds, Seats::default()).await;
        let mut here = Vec::new();
        for _ in 0..3 {
            let mut client = ask(address).await;
            client.read_exact(&mut [0; 64]).await.unwrap();
            here.push(client);
        }
        until_closed(&mut ask(address).await).await;
        here.clear();
        while places.taken().total > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        ask(address).await.read_exact(&mut [0; 64]).await.unwrap();
        serving.abort();
    }

    #[tokio::test]
    async fn a_client_that_sends_all_of_a_refused_body_first_still_gets_the_answer() {
        let (address, serving) = serve(acceptor(), Seats::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = b"POST / HTTP/1.1\r\nHost: rollcall\r\nContent-Length: 8000000\r\n\r\n";
        client.write_all(head).await.unwrap();
        client.write_all(&vec![0; 8_000_000]).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 405");
        serving.abort();
    }

    #[test]
    fn an_address_has_a_share_of_the_connections_but_not_a_proxy() {
        let proxy: IpNet = "10.0.0.0/8".parse().unwrap();
        let places = Places::new(1000, vec![proxy]);
        let connect = |address: &str, count: usize| -> Vec<Place> {
            let peer = address.parse().unwrap();
            (0..count).filter_map(|_| places.take(peer)).collect()
        };
        let one = connect("2001:db8::1", 200);
        assert_eq!(one.len(), 125);
        assert_eq!(connect("2001:db8::2", 1).len(), 0, "the same network");
        let behind = connect("::ffff:10.0.0.1", 500);
        assert_eq!(behind.len(), 500);
        assert_eq!(connect("192.0.2.1", 200).len(), 125);
        drop((one, behind));
        let taken = places.taken();
        assert_eq!((taken.total, taken.by_address.len()), (0, 0));
    }
}
