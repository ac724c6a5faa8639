package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// Error says what came of a request. Its text holds no identifier, no value
// and no secret. Package failure knows what it means: see failure.Of.
type Error struct {
	// Status is the status of the answer, 0 if there was none.
	Status int
	// Route is the base URL, with the request's Route if it had one.
	Route string
	// TransactionID is the one that was sent.
	TransactionID string
	// Reason is the text without status, route and ids: the same for all
	// errors of one kind, so that they can be counted by it.
	Reason string
	// Attempts is how many requests the call made.
	Attempts int
	// Err is the cause, or nil. Its text may hold anything, so it is not part
	// of this error's text.
	Err error
}

// Error returns the text: "GET https://gw/iga/persons/{id}: 502: the gateway
// cannot reach the source, 3 attempts (transaction 5f0c)".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s: ", e.Route)
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d: ", e.Status)
	}
	b.WriteString(e.Reason)
	if e.Attempts > 1 {
		fmt.Fprintf(&b, ", %d attempts", e.Attempts)
	}
	fmt.Fprintf(&b, " (transaction %s)", e.TransactionID)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// describe names the cause of a transport's error. Only texts known to be
// harmless are taken over: the others can quote the URL, or bytes of an answer.
func describe(err error) string {
	var (
		errno syscall.Errno
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		alert tls.AlertError
		plain tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &cert):
		return cert.Error()
	case errors.As(err, &alert):
		return alert.Error()
	case errors.As(err, &plain):
		return "the other end does not speak TLS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case isTimeout(err):
		return "it took too long"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
