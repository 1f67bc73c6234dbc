package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"instantd/protocol"
)

// nobody is an exempt list that exempts nobody, loopback included.
var nobody = []netip.Prefix{}

func root(s *Server) string { return "http://" + s.Addr().String() }

func get(t testing.TB, c *http.Client, url string) (status int, body string, header http.Header) {
	t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b), answer.Header
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestAPanicIsAnsweredAndLoggedOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0: the connection is cut
		logged  int
	}{
		{"before the header it is 500", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "12345")
			panic("a defect")
		}, 500, 1},
		{"behind the header it cuts the answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half an ")
			panic("a defect")
		}, 0, 1},
		{"ErrAbortHandler is not a defect", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var log journal
			s := serve(t, Options{Handler: row.handler, Log: log.logger()})
			answer, err := client(t).Get(root(s))
			if err == nil {
				defer answer.Body.Close()
				_, err = io.ReadAll(answer.Body)
			}
			if cut := err != nil; cut != (row.status == 0) || (!cut && answer.StatusCode != row.status) {
				t.Errorf("answered %v, %v; want %d", answer, err, row.status)
			}
			if n := strings.Count(log.String(), "handler panicked"); n != row.logged {
				t.Errorf("logged %d times, want %d:\n%s", n, row.logged, log.String())
			}
		})
	}
}

func TestTheLogHidesQueries(t *testing.T) {
	t.Parallel()
	var log journal
	s := serve(t, Options{Handler: say("hi"), Log: log.logger()})
	_, _, header := get(t, client(t), root(s)+"/path?token=hush")
	if header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("nosniff is missing")
	}
	if eventually(func() bool { return strings.Contains(log.String(), "path=/path status=200 bytes=2") }) != nil {
		t.Errorf("the request was not logged:\n%s", log.String())
	}
	if strings.Contains(log.String(), "hush") {
		t.Errorf("the log tells the query:\n%s", log.String())
	}
}

func TestRequestsAreCountedByClass(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(nil)
	s := serve(t, Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
		}
	}), Metrics: metrics})
	c := client(t)
	get(t, c, root(s))
	get(t, c, root(s)+"/gone")
	if eventually(func() bool { return testutil.CollectAndCount(metrics.requests) == 2 }) != nil {
		t.Errorf("%d classes counted, want 2xx and 4xx", testutil.CollectAndCount(metrics.requests))
	}
	if n := testutil.ToFloat64(metrics.connections.WithLabelValues("test")); n != 1 {
		t.Errorf("%v connections counted", n)
	}
}

func TestTheRateOfAStrangerIsLimited(t *testing.T) {
	t.Parallel()
	var code protocol.Code
	limited := Options{Handler: say("hi"), Exempt: nobody, RequestRate: 0.001, RequestBurst: 3,
		Refuse: func(w http.ResponseWriter, r *http.Request, c protocol.Code, reason string) {
			code = c
			PlainRefusal(w, r, c, reason)
		}}
	s := serve(t, limited)
	c := client(t)
	for n := range 3 {
		if status, _, _ := get(t, c, root(s)); status != 200 {
			t.Fatalf("request %d answered %d", n, status)
		}
	}
	status, _, header := get(t, c, root(s))
	if status != 429 || header.Get("Retry-After") == "" || code != protocol.RateLimited {
		t.Errorf("beyond the burst: %d, Retry-After %q, code %v", status, header.Get("Retry-After"), code)
	}

	limited.Exempt = nil // loopback
	s = serve(t, limited)
	for n := range 10 {
		if status, _, _ := get(t, c, root(s)); status != 200 {
			t.Fatalf("exempt request %d answered %d", n, status)
		}
	}
}

func TestRateLimitForgetsButStaysBounded(t *testing.T) {
	t.Parallel()
	l := newRateLimit(0.001, 1, 100)
	first := netip.MustParseAddr("192.0.2.1")
	if !l.allow(first) || l.allow(first) {
		t.Fatal("the burst is not 1")
	}
	for n := range 10_000 {
		l.allow(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
		if n < 1_000 && l.allow(first) {
			t.Fatal("an address in use was forgotten")
		}
	}
	if n := len(l.younger) + len(l.older); n > 100 {
		t.Errorf("%d addresses are remembered", n)
	}
	if !l.allow(first) {
		t.Error("an address that was crowded out is still limited")
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options Options
		limit   string
	}{
		{"all together", Options{MaxConns: 2}, "connections"},
		{"those of one address", Options{MaxConnsPerAddress: 2, Exempt: nobody}, "address"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.options.Handler, row.options.Metrics = say("hi"), NewMetrics(nil)
			s := serve(t, row.options)
			ask := func() (net.Conn, error) {
				c, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					return nil, err // the reset may come that early
				}
				t.Cleanup(func() { _ = c.Close() })
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				_, err = bufio.NewReader(c).ReadByte()
				return c, err
			}
			first, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			if _, err = ask(); err != nil {
				t.Fatal(err)
			}
			if _, err := ask(); err == nil {
				t.Error("a connection beyond the limit was answered")
			}
			if n := testutil.ToFloat64(row.options.Metrics.refused.WithLabelValues("test", row.limit)); n != 1 {
				t.Errorf("%v refusals counted", n)
			}
			_ = first.Close()
			open := row.options.Metrics.connections.WithLabelValues("test")
			if eventually(func() bool { return testutil.ToFloat64(open) == 1 }) != nil {
				t.Fatal("the place was not given back")
			}
			if _, err := ask(); err != nil {
				t.Errorf("after one has left: %v", err)
			}
		})
	}
}

func TestSlowHeadsAreCut(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "} {
		s := serve(t, Options{Handler: say("hi"), ReadHeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond})
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, head)
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection that sent %q stayed open", head)
		}
		_ = c.Close()
	}
}

func TestLargeHeadsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Handler: say("hi")})
	r, _ := http.NewRequest("GET", root(s), nil)
	r.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	answer, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %s", answer.Status)
	}
}

// post sends a head that promises length bytes, then the pieces, and hands out
// the connection.
func post(t *testing.T, s *Server, length int, pieces ...string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
	for _, piece := range pieces {
		_, _ = io.WriteString(c, piece)
	}
	return bufio.NewReader(c)
}

func TestBodies(t *testing.T) {
	t.Parallel()
	read := func(errs chan error, upload int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if upload > 0 {
				SetBodyLimit(r, upload)
			}
			_, err := io.Copy(io.Discard, r.Body)
			errs <- err
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}
	}
	tooLarge := func(err error) bool {
		var e *http.MaxBytesError
		return errors.As(err, &e)
	}
	tooSlow := func(err error) bool {
		return protocol.CodeOf(err) == protocol.Invalid && errors.Is(err, os.ErrDeadlineExceeded)
	}
	none := func(err error) bool { return err == nil }
	for _, row := range []struct {
		name   string
		length int
		body   string
		upload int64 // SetBodyLimit
		want   func(error) bool
		status int
	}{
		{"within the limit", 10, "0123456789", 0, none, 200},
		{"beyond the limit", 2_000, strings.Repeat("x", 2_000), 0, tooLarge, 400},
		{"beyond the common limit, but the handler takes more", 2_000, strings.Repeat("x", 2_000), 4_000, none, 200},
		{"a peer that stops", 900, "012", 0, tooSlow, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			errs := make(chan error, 1)
			s := serve(t, Options{Handler: read(errs, row.upload), MaxBodyBytes: 1_000, BodyGrace: 100 * time.Millisecond})
			answer, err := http.ReadResponse(post(t, s, row.length, row.body), nil)
			if err != nil || answer.StatusCode != row.status {
				t.Errorf("answered %v, %v; want %d", answer, err, row.status)
			}
			if err := within(t, "the handler", errs); !row.want(err) {
				t.Errorf("the handler read %v", err)
			}
		})
	}
}

func TestABodyThatTricklesIsCut(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 1)
	s := serve(t, Options{BodyGrace: 50 * time.Millisecond, MinBodyRate: 1 << 20,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			errs <- err
		})})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = c.Write([]byte("x"))
		case err := <-errs:
			if protocol.CodeOf(err) != protocol.Invalid {
				t.Errorf("the handler read %v", err)
			}
			return
		case <-time.After(patience):
			t.Fatal("a trickle was suffered")
		}
	}
}

func TestABodyIsCutHoweverFastItBegan(t *testing.T) {
	t.Parallel()
	const fast = 1 << 20
	for _, row := range []struct {
		name  string
		after string // sent every 10 ms, then
	}{
		{"when it stops", ""},
		{"when it trickles", "x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			errs := make(chan error, 1)
			s := serve(t, Options{BodyGrace: 100 * time.Millisecond, MinBodyRate: 4 << 10, MaxBodyBytes: 2 * fast,
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					errs <- err
				})})
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 2*fast, strings.Repeat("x", fast))
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			late := time.After(patience)
			for {
				select {
				case <-tick.C:
					_, _ = io.WriteString(c, row.after)
				case err := <-errs:
					if protocol.CodeOf(err) != protocol.Invalid {
						t.Errorf("the handler read %v", err)
					}
					return
				case <-late:
					t.Fatal("it was suffered")
				}
			}
		})
	}
}

func TestAHandlerThatLingersIsNotThePeersFault(t *testing.T) {
	t.Parallel()
	const grace = 400 * time.Millisecond // a peer on a busy machine keeps within it
	certFile, keyFile, pool := certificate(t)
	for _, row := range []struct {
		name string
		h2   bool
	}{{"over HTTP/1.1", false}, {"over HTTP/2", true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lingered := make(chan struct{})
			s := serve(t, Options{CertFile: certFile, KeyFile: keyFile, BodyGrace: grace,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-time.After(2 * grace) // a disk that is slow
					_, _ = io.ReadFull(r.Body, make([]byte, 10))
					<-time.After(2 * grace)
					close(lingered)
					rest, err := io.ReadAll(r.Body)
					_, _ = fmt.Fprint(w, r.ProtoMajor, len(rest), err)
				})})
			c := client(t)
			transport := c.Transport.(*http.Transport)
			transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, row.h2
			body, peer := io.Pipe()
			go func() { // ends with the request
				_, _ = io.WriteString(peer, strings.Repeat("x", 10))
				<-lingered
				_, _ = io.WriteString(peer, strings.Repeat("x", 99_990))
				_ = peer.Close()
			}()
			answer, err := c.Post("https://"+s.Addr().String(), "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			want := "1 99990 <nil>"
			if row.h2 {
				want = "2 99990 <nil>"
			}
			if err != nil || string(got) != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestAnUnreadBodyHoldsNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Handler: say("no, thanks"), BodyGrace: 50 * time.Millisecond})
	r := post(t, s, 1_000, "only this")
	if _, err := io.ReadAll(r); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server waits for a body that nobody wants")
	}
}

func TestAHandlerMayLingerAfterTheBody(t *testing.T) {
	t.Parallel()
	const grace = 50 * time.Millisecond
	s := serve(t, Options{BodyGrace: grace, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = r.Body.Read(make([]byte, 1)) // as a decoder does, to be sure of the end
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		case <-time.After(4 * grace): // a long poll
		}
	})})
	answer, err := http.ReadResponse(post(t, s, 3, "abc"), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("answered %v, %v", answer, err)
	}
}

func TestAPeerThatTakesNoAnswerIsCut(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s := serve(t, Options{WriteTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				failed <- err
				return
			}
		}
	})})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := within(t, "the write to fail", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler wrote into %v", err)
	}
}

func TestFilesAreWhole(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3*sendChunk+17)
	_, _ = rand.Read(content)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		defer file.Close()
		if r.URL.Path == "/copy" {
			_, _ = io.Copy(w, file)
			return
		}
		http.ServeContent(w, r, "file.bin", time.Time{}, file)
	})})
	c := client(t)
	for _, row := range []struct {
		path, ranged string
		want         []byte
	}{
		{"/", "", content},
		{"/copy", "", content},
		{"/", "bytes=5-", content[5:]},
		{"/", "bytes=1000000-2000000", content[1000000:2000001]},
	} {
		r, _ := http.NewRequest("GET", root(s)+row.path, nil)
		if row.ranged != "" {
			r.Header.Set("Range", row.ranged)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || !bytes.Equal(got, row.want) {
			t.Errorf("%s %s: got %d bytes, %v; want %d", row.path, row.ranged, len(got), err, len(row.want))
		}
	}
}

func TestAnEventStreamOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	s := serve(t, Options{WriteTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := range 4 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
			<-time.After(2 * timeout)
		}
	})})
	if _, body, _ := get(t, client(t), root(s)); body != "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n" {
		t.Errorf("got %q", body)
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	entered, leave, draining := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	var s *Server
	s = serve(t, Options{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-leave
			_, _ = io.WriteString(w, "done")
		}),
		Drain: []func(context.Context) error{func(context.Context) error {
			c, err := net.Dial("tcp", s.Addr().String())
			if err == nil {
				_ = c.Close()
			}
			draining <- err
			return nil
		}},
	})
	answered, shut := make(chan string, 1), make(chan error, 1)
	c := client(t)
	go func() { // ends with the answer
		answer, err := c.Get(root(s))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		answered <- fmt.Sprint(string(b), err)
	}()
	within(t, "the request", entered)
	go func() { shut <- s.Shutdown(patient(t)) }() // ends with the request
	if err := within(t, "Drain", draining); err == nil {
		t.Error("the listener was open while draining")
	}
	close(leave)
	if got := within(t, "the answer", answered); got != "done<nil>" {
		t.Errorf("got %q", got)
	}
	if err := within(t, "shutdown", shut); err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsRequestsThatDoNotFinish(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan struct{})
	broken := errors.New("a drain that fails")
	s := New(Options{Name: "test", Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}), Drain: []func(context.Context) error{func(context.Context) error { return broken }}})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	go s.Serve() // ends with Shutdown
	go client(t).Get(root(s))
	within(t, "the request", entered)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, broken) {
		t.Errorf("shutdown: %v", err)
	}
	within(t, "the handler's end", left)
}

// certificate writes a key pair for 127.0.0.1.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	held := make(chan protocol.Conn, 1)
	ws := NewWebSocket(WebSocketOptions{})
	s := serve(t, Options{CertFile: certFile, KeyFile: keyFile, Drain: []func(context.Context) error{ws.Shutdown},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hi" {
				_, _ = io.WriteString(w, r.Proto)
				return
			}
			ws.Upgrade(w, r, hold(held))
		})})

	for _, row := range []struct {
		proto string
		h2    bool
	}{{"HTTP/1.1", false}, {"HTTP/2.0", true}} {
		c := client(t)
		transport := c.Transport.(*http.Transport)
		transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, row.h2
		if status, body, _ := get(t, c, "https://"+s.Addr().String()+"/hi"); status != 200 || body != row.proto {
			t.Errorf("%s: got %d %q", row.proto, status, body)
		}
	}
	if _, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}

	raw, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	p := upgraded(t, raw)
	conn := within(t, "the connection", held)
	const frames = 2_000
	ctx := patient(t)
	go func() { // ends with the last frame or with ctx
		for n := range frames {
			if conn.Send(ctx, numbered(0, n)) != nil {
				return
			}
		}
		conn.Close(protocol.CloseReplaced)
	}()
	for n := range frames {
		if op, payload := p.wantFrame(t); op != opText || !bytes.Equal(payload, numbered(0, n)) {
			t.Fatalf("frame %d: got %d %x", n, op, payload)
		}
	}
	if code, _ := p.wantClose(t); code != codeReplaced {
		t.Errorf("closed with %d", code)
	}
	p.wantEnd(t)
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken := serve(t, Options{Handler: say("hi")})
	for _, row := range []struct {
		name, want string
		options    Options
	}{
		{"a port that is taken", "address already in use", Options{Name: "main", Addr: taken.Addr().String()}},
		{"no such address", "main", Options{Name: "main", Addr: "nowhere"}},
		{"no such certificate", "load certificate of main", Options{Name: "main", Addr: "127.0.0.1:0", CertFile: "/nowhere/cert.pem"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := New(row.options)
			if err := s.Listen(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if err := s.Serve(); err == nil {
				t.Error("it serves")
			}
		})
	}
}

func TestPlainRefusalKnowsEveryCode(t *testing.T) {
	t.Parallel()
	seen := map[int]protocol.Code{}
	for _, code := range protocol.Codes {
		status := statusOf(code)
		if other, taken := seen[status]; taken {
			t.Errorf("%v and %v are both %d", code, other, status)
		}
		seen[status] = code
	}
}
