// Package httpfail says what became of an HTTP request, without repeating
// anything of the request or of the answer.
package httpfail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Describe names the cause of a transport's error. Only texts known to be
// harmless are taken over: the others can quote the URL, or bytes of an answer.
func Describe(err error) string {
	var (
		errno syscall.Errno
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		alert tls.AlertError
		plain tls.RecordHeaderError
		op    *net.OpError
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
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls has no type for it
		return op.Error()
	case errors.As(err, &plain):
		return "the other end does not speak TLS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case IsTimeout(err):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "it was cancelled"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// IsTimeout reports whether err says that something took too long.
func IsTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// RetryAfter reads the value of a Retry-After header: a number of seconds or a
// date, RFC 9110 section 10.2.3. It returns 0 if there is nothing to wait for.
func RetryAfter(value string, now time.Time) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then it is the largest
		return time.Duration(min(max(n, 0), int64(MaxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return min(max(t.Sub(now), 0), MaxRetryAfter)
	}
	return 0
}

// MaxRetryAfter limits what an answer can make a client wait: clocks can be
// wrong, and servers too.
const MaxRetryAfter = 24 * time.Hour
