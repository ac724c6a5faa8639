package httpfail_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/httpfail"
)

const secret = "s3cret"

func TestDescribe(t *testing.T) {
	tests := []struct {
		name string
		err  error
		text string
	}{
		{name: "refused", err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, text: "connection refused"},
		{name: "DNS", err: &net.DNSError{Err: "no such host", Name: "gw.example.no", IsNotFound: true}, text: "lookup gw.example.no: no such host"},
		{name: "alert", err: &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, text: "remote error: tls: bad certificate"},
		{name: "no TLS", err: tls.RecordHeaderError{Msg: secret}, text: "the other end does not speak TLS"},
		{name: "cut", err: io.ErrUnexpectedEOF, text: "the connection was closed"},
		{name: "slow", err: context.DeadlineExceeded, text: "it took too long"},
		{name: "cancelled", err: context.Canceled, text: "it was cancelled"},
		{name: "other", err: errors.New("malformed response " + secret), text: "*errors.errorString"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wrapped := fmt.Errorf("%s: %w", secret, &url.Error{Op: "Get", URL: "https://x/" + secret, Err: tt.err})
			require.Equal(t, tt.text, httpfail.Describe(wrapped))
			require.Equal(t, tt.name == "slow", httpfail.IsTimeout(wrapped))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		tests := []struct {
			value string
			wait  time.Duration
		}{
			{value: ""},
			{value: "soon"},
			{value: "0"},
			{value: "-5"},
			{value: " 7 ", wait: 7 * time.Second},
			{value: "99999999999999999999", wait: httpfail.MaxRetryAfter},
			{value: "-99999999999999999999"},
			{value: now.Add(time.Minute).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), wait: time.Minute},
			{value: now.Add(-time.Minute).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")},
			{value: now.Add(1000 * time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), wait: httpfail.MaxRetryAfter},
		}
		for _, tt := range tests {
			require.Equal(t, tt.wait, httpfail.RetryAfter(tt.value, now), tt.value)
		}
	})
}
