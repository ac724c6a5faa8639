package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	ldapPackage = "slapd"
	ldapBoot    = 30 * time.Second // 100 ms on a quiet machine
	ldapStop    = 30 * time.Second
)

// What every [OpenLDAPServer] has.
const (
	LDAPSuffix       = "dc=example,dc=org"
	LDAPRoot         = "cn=root," + LDAPSuffix
	LDAPRootPassword = "root-secret"
)

// OpenLDAPConfig configures an [OpenLDAPServer]. The zero OpenLDAPConfig works.
type OpenLDAPConfig struct {
	// Authority signs the server's certificate, for 127.0.0.1 and localhost.
	// Without it the server has no TLS.
	Authority *Authority
	// ClientCertificates makes the server demand one of each TLS client.
	ClientCertificates bool
	// Global is put before the database in slapd.conf, and Database at its end.
	Global, Database string
}

// OpenLDAPServer is a slapd of one's own, with an empty database for
// [LDAPSuffix] and the schemas core, cosine, inetorgperson and nis.
type OpenLDAPServer struct {
	dir         string
	plain, tls  int // ports
	withTLS     bool
	certificate [2]string

	mu     sync.Mutex
	server *process // nil when stopped
}

// OpenLDAP starts a slapd for one test. The test fails if that cannot be done.
func OpenLDAP(tb testing.TB, cfg OpenLDAPConfig) *OpenLDAPServer {
	tb.Helper()
	s := &OpenLDAPServer{withTLS: cfg.Authority != nil}
	if cfg.Authority != nil {
		s.certificate[0], s.certificate[1] = cfg.Authority.Sign(tb, "localhost", "127.0.0.1")
	}
	if err := s.create(cfg); err != nil {
		tb.Fatalf("start slapd: %v", errors.Join(err, s.remove()))
	}
	tb.Cleanup(func() {
		if err := s.remove(); err != nil {
			tb.Errorf("stop slapd: %v", err)
		}
	})
	return s
}

// URL returns the address without encryption, "ldap://127.0.0.1:40123".
// StartTLS works there if the server has an authority.
func (s *OpenLDAPServer) URL() string { return "ldap://127.0.0.1:" + strconv.Itoa(s.plain) }

// TLSURL returns the address of LDAP over TLS, "ldaps://127.0.0.1:40124".
func (s *OpenLDAPServer) TLSURL() string { return "ldaps://127.0.0.1:" + strconv.Itoa(s.tls) }

// Log returns what slapd logged so far: level stats, a line or two for each
// operation.
func (s *OpenLDAPServer) Log(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(s.log())
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Changes returns the overlay auditlog's record of all writes, in LDIF.
func (s *OpenLDAPServer) Changes(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "audit.ldif"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatal(err)
	}
	return string(text)
}

func (s *OpenLDAPServer) log() string { return filepath.Join(s.dir, "slapd.log") }

// Stop ends the server. Its data stays, and [OpenLDAPServer.Start] starts it
// again on the same ports.
func (s *OpenLDAPServer) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.stop(syscall.SIGINT, ldapStop)
	s.server = nil
	return err
}

// Start starts the server after a stop.
func (s *OpenLDAPServer) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	urls := s.URL()
	if s.withTLS {
		urls += " " + s.TLSURL()
	}
	cmd := exec.CommandContext(context.Background(), ldapProgram(), "-d", "stats", "-h", urls, "-f", filepath.Join(s.dir, "slapd.conf"))
	server, err := start(cmd, s.log())
	if err != nil {
		return err
	}
	s.server = server
	ctx, cancel := context.WithTimeout(context.Background(), ldapBoot)
	defer cancel()
	go func() { // ends with ctx or the server
		select {
		case <-server.exited:
			cancel() // nobody will answer
		case <-ctx.Done():
		}
	}()
	if err := waitPort(ctx, "127.0.0.1:"+strconv.Itoa(s.plain)); err != nil {
		text, _ := os.ReadFile(s.log()) // says why, if it can be read
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

func ldapProgram() string {
	if _, err := exec.LookPath("slapd"); err != nil {
		return "/usr/sbin/slapd" // not in everybody's PATH
	}
	return "slapd"
}

// create writes the files and starts the server.
func (s *OpenLDAPServer) create(cfg OpenLDAPConfig) error {
	if err := missing(ldapProgram(), ldapPackage); err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	s.plain, s.tls = ports[0], ports[1]
	if s.dir, err = os.MkdirTemp("", "slapd-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "slapd.conf"), []byte(s.config(cfg)), 0o600); err != nil {
		return err
	}
	return s.Start()
}

// config returns slapd.conf. The database does not sync its files to disk: what
// was written survives the end of the server, but not that of the machine.
func (s *OpenLDAPServer) config(cfg OpenLDAPConfig) string {
	var text strings.Builder
	for _, schema := range []string{"core", "cosine", "inetorgperson", "nis"} {
		fmt.Fprintf(&text, "include /etc/ldap/schema/%s.schema\n", schema)
	}
	fmt.Fprintf(&text, "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload auditlog\npidfile %s/slapd.pid\n", s.dir)
	if cfg.Authority != nil {
		fmt.Fprintf(&text, "TLSCACertificateFile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\n",
			cfg.Authority.File, s.certificate[0], s.certificate[1])
	}
	if cfg.ClientCertificates {
		text.WriteString("TLSVerifyClient demand\n")
	}
	text.WriteString(cfg.Global + "\n")
	fmt.Fprintf(&text, `
database mdb
suffix %s
rootdn %s
rootpw %s
directory %s/data
maxsize 1073741824
dbnosync
index objectClass,uid,employeeNumber,member,memberUid,entryCSN,entryUUID eq
%s
overlay auditlog
`, LDAPSuffix, LDAPRoot, LDAPRootPassword, s.dir, cfg.Database)
	fmt.Fprintf(&text, "auditlog %s/audit.ldif\n", s.dir)
	return text.String()
}

// remove stops the server and deletes its files.
func (s *OpenLDAPServer) remove() error {
	err := s.Stop()
	if s.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
