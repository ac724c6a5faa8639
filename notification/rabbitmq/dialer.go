package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout = 3 * time.Second
	// openTimeout bounds all from the first packet to the open channel.
	// RabbitMQ answers a wrong password after 3 s.
	openTimeout = 10 * time.Second
	// lapses is how many heartbeats a silent connection is given.
	lapses = 1.5
)

// errCredentials is why there was nothing to log in with.
var errCredentials = errors.New("credentials")

// dialer opens connections to a broker. It belongs to one goroutine at a time.
type dialer struct {
	hosts       []host // in the order of trial
	next        int    // the host to try first
	vhost       string
	name        string
	heartbeat   time.Duration
	credentials func(context.Context) (user, password string, err error)
	external    bool
	secure      bool
	tls         secrets
}

// fork returns a dialer of one's own, with an order of hosts of its own: so
// connections spread over a cluster, and they do not all move to the same node
// when one is lost.
func (d *dialer) fork() *dialer {
	own := *d
	own.hosts = slices.Clone(d.hosts)
	own.next = 0
	rand.Shuffle(len(own.hosts), func(i, j int) { //nolint:gosec // an order is no secret
		own.hosts[i], own.hosts[j] = own.hosts[j], own.hosts[i]
	})
	return &own
}

// tag returns a consumer tag that tells operators which process it is.
func (d *dialer) tag() string {
	machine, err := os.Hostname()
	if err != nil {
		machine = "?"
	}
	return fmt.Sprintf("%s@%s:%d-%s", d.name, machine[:min(len(machine), 24)], os.Getpid(), watermill.NewShortUUID()[:8])
}

// properties is what operators see of us.
func (d *dialer) properties() amqp.Table {
	version := "unknown"
	const module = "github.com/konnektor-go/konnektor"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				version = m.Version
			}
		}
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "?"
	}
	return amqp.Table{
		"connection_name": d.name,
		"product":         "konnektor",
		"version":         version,
		"platform":        runtime.Version(),
		"host":            machine,
		"pid":             int64(os.Getpid()),
	}
}

// dial tries one host after the other, beginning with the one after that of the
// last attempt, and returns a connection with one channel, or gives up when ctx
// ends. The link does not depend on ctx afterwards.
func (d *dialer) dial(ctx context.Context) (*link, error) {
	var failed hostErrors
	for range d.hosts {
		h := d.hosts[d.next%len(d.hosts)]
		d.next++
		l, err := d.try(ctx, h)
		if err == nil {
			return l, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", h, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("rabbitmq: connect to %w", failed)
}

// hostErrors is why no host could be reached.
type hostErrors []error

func (e hostErrors) Error() string {
	var texts []string
	for _, err := range e {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; to ")
}

func (e hostErrors) Unwrap() []error { return e }

// try opens a connection to one host.
func (d *dialer) try(ctx context.Context, h host) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, errNoAnswer)
	defer cancel()
	user, password, err := d.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	var config *tls.Config
	if d.secure {
		if config, err = d.tls.config(h); err != nil {
			return nil, err
		}
	}
	raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", h.String())
	if err != nil {
		return nil, d.explain(ctx, err, nil)
	}
	l := &link{raw: &wire{Conn: raw}, host: h.String()}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err = d.open(ctx, l, config, user, password)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = d.explain(ctx, err, l.raw)
		l.end(err)
		_ = l.raw.Close()
		return nil, err
	}
	l.watch()
	return l, nil
}

// open shakes hands on a new connection.
func (d *dialer) open(ctx context.Context, l *link, config *tls.Config, user, password string) error {
	var transport net.Conn = l.raw
	if config != nil {
		secure := tls.Client(l.raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		l.raw.secured = true
		l.tls = tls.VersionName(secure.ConnectionState().Version)
		transport = secure
	}
	var auth amqp.Authentication = &amqp.PlainAuth{Username: user, Password: password}
	if d.external {
		auth = &amqp.ExternalAuth{}
	}
	var err error
	l.conn, err = amqp.Open(transport, amqp.Config{
		SASL: []amqp.Authentication{auth}, Vhost: d.vhost, Heartbeat: d.heartbeat,
		Properties: d.properties(), Locale: "en_US",
	})
	if err != nil {
		return err
	}
	l.blocking = l.conn.NotifyBlocked(make(chan amqp.Blocking, 1)) // what comes before is lost
	l.raw.arm(time.Duration(lapses * float64(l.conn.Config.Heartbeat)))
	l.ch, err = l.conn.Channel()
	return err
}

// explain adds what an operator can do about a failed attempt. The reason says
// it in terms of the protocol.
func (d *dialer) explain(ctx context.Context, err error, w *wire) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the socket was closed for this
	}
	if hint := d.hint(err, w); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

func (d *dialer) hint(err error, w *wire) string {
	var refused *amqp.Error
	switch {
	case d.secure:
		if hint := d.tlsHint(err, w != nil && w.secured); hint != "" {
			return hint
		}
	case w != nil && w.first() == tlsAlert:
		return "the port speaks TLS: start the URL with amqps"
	case w != nil && w.first() == 0 && hungUp(err):
		return "the port hung up without a word: if it is one for TLS, start the URL with amqps"
	}
	switch {
	case w != nil && w.first() == 'H':
		return "the port speaks HTTP: give that of AMQP, usually 5671 with TLS and 5672 without"
	case !errors.As(err, &refused):
		return ""
	case refused.Code == amqp.NotAllowed:
		return "the virtual host is missing, or the user has no rights in it"
	case refused.Code == amqp.AccessRefused:
		return "check the user's name and password"
	default:
		return ""
	}
}

// tlsHint is for a port that is to speak TLS. shaken is whether the handshake
// was over: a client's certificate is missed after it.
func (d *dialer) tlsHint(err error, shaken bool) string {
	var (
		plain   tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
	)
	switch {
	case errors.As(err, &plain):
		return "the port does not speak TLS: give that of amqps, usually 5671"
	case errors.As(err, &unknown):
		return "nobody trusted has signed the broker's certificate: set Connection.CAFile"
	case errors.As(err, &name):
		return "the broker's certificate is for other names: correct the host, or set Connection.ServerName"
	case !shaken || d.tls.mine():
		return ""
	case hungUp(err):
		return "the broker hung up after the handshake: it may want a certificate, set Connection.CertFile and KeyFile"
	default:
		return ""
	}
}

// hungUp reports whether the broker ended the connection without a word. The
// client library says so in several ways, and by the code of a refusal where it
// takes that for the reason.
func hungUp(err error) bool {
	var refused *amqp.Error
	return !errors.As(err, &refused) || !refused.Server && refused.Code != amqp.AccessRefused
}
