package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// secure makes the transport use the certificates of the files.
func (c Config) secure(t *http.Transport) error {
	if c.CAFile == "" && c.CertFile == "" && c.CertKeyFile == "" {
		return nil
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.CAFile != "" {
		authorities, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("CAFile: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(authorities) {
			return errors.New("CAFile: no certificate in it: give one or more in PEM")
		}
	}
	switch {
	case c.CertFile == "" && c.CertKeyFile == "":
		return nil
	case c.CertFile == "":
		return errors.New("CertFile: must be set together with CertKeyFile")
	case c.CertKeyFile == "":
		return errors.New("CertKeyFile: must be set together with CertFile")
	}
	pair := &certificate{certFile: c.CertFile, keyFile: c.CertKeyFile}
	if err := pair.load(); err != nil {
		return err
	}
	t.TLSClientConfig.GetClientCertificate = pair.get
	return nil
}

// certificate is a pair of files, read for every handshake: those are rare, and
// so no time has to be guessed at which a file may have changed.
type certificate struct {
	certFile, keyFile string

	mu   sync.Mutex
	last *tls.Certificate // that could be read
}

// get implements tls.Config.GetClientCertificate. While the files do not fit
// together, as one of them was replaced and the other was not yet, the last
// ones that did are used.
func (c *certificate) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	_ = c.load() // there is a last one, see secure; it is refused when it is too old
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("CertFile: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = &pair
	return nil
}
