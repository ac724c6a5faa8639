package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// secrets make the TLS configuration of one connection at a time, so that files
// can be renewed while the program runs.
type secrets struct {
	base                      *tls.Config
	ca, cert, key, serverName string
}

// config returns a configuration of its own for a connection to h. The client
// library writes the host into it, and the next connection would accept that
// host's certificate from another.
func (s secrets) config(h host) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.base != nil {
		c = s.base.Clone()
	}
	if s.ca != "" {
		authorities, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf("Connection.CAFile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, errors.New("Connection.CAFile: no certificate in it: give one or more in PEM")
		}
	}
	if s.cert != "" || s.key != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fmt.Errorf("Connection.CertFile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch {
	case s.serverName != "":
		c.ServerName = s.serverName
	case c.ServerName == "":
		c.ServerName = h.name
	}
	return c, nil
}

// mine reports whether the configuration has a certificate of ours.
func (s secrets) mine() bool {
	return s.cert != "" || s.base != nil && (len(s.base.Certificates) > 0 || s.base.GetClientCertificate != nil)
}
