package rabbitmq

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Connection are settings of the connections to a broker, beside its URL. The
// zero value works.
//
// The URL is amqps://user:password@host:port/vhost. It can have several hosts,
// amqps://user:password@host1:port,host2:port/vhost, and there can be several
// URLs, with commas or white space between them, that differ in host and port
// only. The parameters cacertfile, certfile, keyfile, server_name_indication,
// heartbeat (seconds) and auth_mechanism (plain or external) are understood;
// settings here go before them.
type Connection struct {
	// Vhost is the virtual host, as it is: nothing in it is escaped. By default
	// what the URL says, where it must be percent-encoded, or else "/".
	Vhost string
	// Credentials is asked for user and password before each connection, so
	// they can be changed while the program runs. By default those of the URL.
	// It may block until ctx ends. An error is a failed attempt to connect.
	Credentials func(ctx context.Context) (user, password string, err error)
	// PasswordFile holds the password of the URL's user. It is read before each
	// connection; a line's end after the password is not part of it.
	PasswordFile string

	// TLS is what the settings below are added to, for a URL that starts with
	// amqps. It is copied for each connection.
	TLS *tls.Config
	// CAFile holds the certificates of the authorities to trust, in PEM. By
	// default the system's. It is read before each connection.
	CAFile string
	// CertFile and KeyFile hold our own certificate and its key, in PEM. They
	// are read before each connection, so they can be renewed.
	CertFile, KeyFile string
	// ServerName is the name that the broker's certificate must have, and that
	// it is told (SNI). By default the host of the URL.
	ServerName string

	// Heartbeat is how often the broker is to say something at least, in whole
	// seconds from 1 s to 1 h, by default 10 s; the broker may choose less. A
	// connection that is silent for one and a half of it is lost.
	Heartbeat time.Duration
	// ManagementURL is the address of the broker's HTTP API, for example
	// https://mq.example.no:15671, only for Check. The connection's user and
	// certificates are used; the user needs the tag management.
	ManagementURL string
}

const (
	defaultHeartbeat = 10 * time.Second
	maxName          = 200 // bytes; a consumer tag is a little longer and has at most 255
)

// validate checks what does not depend on the URL.
func (c Connection) validate() error {
	switch {
	case len(c.Vhost) > maxShort:
		return fmt.Errorf("Connection.Vhost: %d bytes, at most %d: shorten it", len(c.Vhost), maxShort)
	case c.Credentials != nil && c.PasswordFile != "":
		return errors.New("Connection.PasswordFile: set together with Credentials: give one of them")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("Connection.CertFile: give it together with KeyFile")
	case c.Heartbeat != 0 && (c.Heartbeat < time.Second || c.Heartbeat > time.Hour || c.Heartbeat%time.Second != 0):
		return fmt.Errorf("Connection.Heartbeat: %s: give whole seconds from 1s to 1h, or 0 for 10s", c.Heartbeat)
	}
	if c.ManagementURL == "" {
		return nil
	}
	u, err := url.Parse(c.ManagementURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "":
		return errors.New("Connection.ManagementURL: not an address: give https://host:port")
	case u.User != nil:
		return errors.New("Connection.ManagementURL: has a user: leave it out, the connection's is used")
	}
	return nil
}

// newDialer joins what the URL, these settings and the name say. name is what
// operators see, by default the program's.
func (c Connection) newDialer(address, name string) (*dialer, error) {
	b, err := parseBroker(address)
	if err == nil {
		err = c.validate()
	}
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = filepath.Base(os.Args[0])
		name = name[:min(len(name), maxName)]
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("Name: %d bytes, at most %d: shorten it", len(name), maxName)
	}
	if c.Vhost != "" && b.vhost != "" && c.Vhost != b.vhost {
		return nil, errors.New("Connection.Vhost: the URL names another: leave one of them out")
	}
	secure := secrets{
		base: c.TLS, ca: cmp.Or(c.CAFile, b.ca), cert: cmp.Or(c.CertFile, b.cert),
		key: cmp.Or(c.KeyFile, b.key), serverName: cmp.Or(c.ServerName, b.serverName),
	}
	if !b.secure && secure != (secrets{}) {
		return nil, errors.New("Connection.TLS: set for a URL that starts with amqp, which is not encrypted: start it with amqps")
	}
	d := &dialer{
		hosts: b.hosts, secure: b.secure, external: b.external, tls: secure,
		vhost:       cmp.Or(c.Vhost, b.vhost, "/"),
		name:        strings.ToValidUTF8(name, "?"),
		heartbeat:   cmp.Or(c.Heartbeat, b.heartbeat, defaultHeartbeat),
		credentials: c.credentials(b),
	}
	if b.secure {
		if _, err := secure.config(b.hosts[0]); err != nil {
			return nil, err // later it would be an outage without end
		}
	}
	return d, nil
}

// credentials returns what is asked before each connection. The password is
// kept in a function, where no formatting verb finds it.
func (c Connection) credentials(b broker) func(context.Context) (string, string, error) {
	switch {
	case c.Credentials != nil:
		return c.Credentials
	case c.PasswordFile != "":
		return func(context.Context) (string, string, error) {
			password, err := os.ReadFile(c.PasswordFile)
			if err != nil {
				return "", "", fmt.Errorf("Connection.PasswordFile: %w", err)
			}
			return b.user, string(bytes.TrimRight(password, "\r\n")), nil
		}
	default:
		return func(context.Context) (string, string, error) { return b.user, b.password, nil }
	}
}
