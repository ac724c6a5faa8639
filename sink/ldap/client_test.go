package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

var ada = entity.Key{Type: "persons", ID: "ada-1815"}

// isAda answers searches for people with one entry.
func isAda(r request) []answer {
	if r.op == "search" {
		return []answer{{dn: "uid=ada-1815," + people, attributes: map[string][]string{"sn": {"Byron"}}}, ok}
	}
	return []answer{ok}
}

func TestConnectionsAreBoundedAndUsedAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	var mu sync.Mutex
	now, most := 0, 0
	f := newFake(t, plain(func(r request) []answer {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		return isAda(r)
	}))
	c := client(t, ldap.ClientConfig{Connections: 3}, f.url())
	e := entries(t, c, ldap.Config{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, found, err := e.Get(t.Context(), ada)
			require.NoError(t, err)
			require.True(t, found)
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most, 3)
	require.LessOrEqual(t, f.dialled, 3)
	c.Close()
	_, _, err := e.Get(t.Context(), ada)
	require.EqualError(t, err, "ldap: search: the client is closed")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	f.stop()
}

func TestLostConnection(t *testing.T) {
	f := newFake(t, plain(isAda))
	e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{})
	have, _, err := e.Get(t.Context(), ada)
	require.NoError(t, err)

	t.Run("a read is done on a new one", func(t *testing.T) {
		var asked atomic.Int32
		f.respond(plain(func(r request) []answer {
			if asked.Add(1) == 1 {
				_ = r.conn.Close() // when it is asked on it
				return nil
			}
			return isAda(r)
		}))
		_, found, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
		require.True(t, found)
	})
	t.Run("a write is not repeated", func(t *testing.T) {
		var writes atomic.Int32
		f.respond(plain(func(r request) []answer {
			writes.Add(1)
			_ = r.conn.Close()
			return nil
		}))
		err := e.Update(t.Context(), ada, have, ldap.Entry{Attributes: map[string][]string{"sn": {"King"}}}, []sink.Field{{Name: "sn"}})
		require.ErrorContains(t, err, "ldap: modify: unable to read LDAP response packet")
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.EqualValues(t, 1, writes.Load())
	})
	t.Run("one that was closed while idle is not used", func(t *testing.T) {
		f.respond(plain(isAda))
		_, _, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
		f.cut()
		_, found, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
		require.True(t, found)
	})
}

func TestIdleForLong(t *testing.T) {
	f := newFake(t, plain(isAda))
	e := entries(t, client(t, ldap.ClientConfig{IdleTimeout: 1}, f.url()), ldap.Config{})
	for range 3 {
		_, _, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
	}
	require.Equal(t, 5, f.dialled, "three entries, and two parts of the schema before")
}

// TestBlockedWrite has a server that stops reading, so that a large request
// cannot even be sent.
func TestBlockedWrite(t *testing.T) {
	var f *fake
	var asked atomic.Int32
	f = newFake(t, plain(func(r request) []answer {
		if asked.Add(1) == 1 {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.deaf = r.conn
		}
		return isAda(r)
	}))
	e := entries(t, client(t, ldap.ClientConfig{Connections: 1, Timeout: 2 * time.Second}, f.url()), ldap.Config{})
	have, _, err := e.Get(t.Context(), ada) // is the last that is read on this connection
	require.NoError(t, err)

	large := entry("jpegPhoto: " + strings.Repeat("x", 16<<20))
	err = e.Update(t.Context(), ada, have, large, []sink.Field{{Name: "jpegPhoto"}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, failure.Unavailable, failure.Of(err))
	_, found, err := e.Get(t.Context(), ada)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 2, f.dialled)
}

func TestCancelledCall(t *testing.T) {
	reached := make(chan struct{}, 10)
	release := make(chan struct{})
	defer close(release)
	var asked atomic.Int32
	f := newFake(t, plain(func(r request) []answer {
		if asked.Add(1) == 1 {
			reached <- struct{}{}
			<-release // no answer
		}
		return isAda(r)
	}))
	e := entries(t, client(t, ldap.ClientConfig{Connections: 1}, f.url()), ldap.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := e.Get(ctx, ada)
		done <- err
	}()
	<-reached
	waiting, stop := context.WithCancel(t.Context())
	stop()
	_, _, err := e.Get(waiting, ada) // for the only connection
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, failure.Unavailable, failure.Of(err))

	cancel()
	err = <-done
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.NotContains(t, err.Error(), ada.ID)

	_, found, err := e.Get(t.Context(), ada) // on another connection
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 2, f.dialled)
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	f := newFake(t, func(r request) []answer { <-release; return nil })
	for name, cfg := range map[string]ldap.ClientConfig{
		"dial":  {DialTimeout: time.Millisecond},
		"never": {Timeout: time.Millisecond, DialTimeout: 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := entries(t, client(t, cfg, f.url()), ldap.Config{}).Get(t.Context(), ada)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, failure.Unavailable, failure.Of(err))
		})
	}
	g := newFake(t, plain(func(r request) []answer { <-release; return nil }))
	e := entries(t, client(t, ldap.ClientConfig{Timeout: 200 * time.Millisecond}, g.url()), ldap.Config{})
	_, _, err := e.Get(t.Context(), ada)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, failure.Unavailable, failure.Of(err))
}

func TestHosts(t *testing.T) {
	down := newFake(t, plain(isAda))
	down.stop()
	busy := newFake(t, func(r request) []answer { return []answer{{code: goldap.LDAPResultBusy}} })
	refusing := newFake(t, func(r request) []answer { return []answer{{code: goldap.LDAPResultInvalidCredentials, text: "s3cret"}} })
	good := newFake(t, plain(isAda))

	t.Run("the next one serves", func(t *testing.T) {
		e := entries(t, client(t, ldap.ClientConfig{Connections: 1}, down.url(), busy.url(), good.url()), ldap.Config{})
		_, found, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
		require.True(t, found)
		tried := len(busy.asked())
		good.cut()
		_, _, err = e.Get(t.Context(), ada)
		require.NoError(t, err)
		require.Len(t, busy.asked(), tried, "what did not serve lately comes last")
	})
	t.Run("the next one serves when one is busy", func(t *testing.T) {
		f := newFake(t, plain(func(request) []answer { return []answer{{code: goldap.LDAPResultBusy}} }))
		e := entries(t, client(t, ldap.ClientConfig{}, f.url(), good.url()), ldap.Config{})
		_, _, err := e.Get(t.Context(), ada)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		_, found, err := e.Get(t.Context(), ada)
		require.NoError(t, err)
		require.True(t, found)
	})
	t.Run("none serves", func(t *testing.T) {
		_, _, err := entries(t, client(t, ldap.ClientConfig{}, down.url(), busy.url()), ldap.Config{}).Get(t.Context(), ada)
		require.ErrorContains(t, err, "connection refused")
		require.ErrorContains(t, err, "Busy")
		require.Equal(t, failure.Unavailable, failure.Of(err))
	})
	t.Run("refused credentials are not tried elsewhere", func(t *testing.T) {
		before := len(good.asked())
		_, _, err := entries(t, client(t, ldap.ClientConfig{}, refusing.url(), good.url()), ldap.Config{}).Get(t.Context(), ada)
		require.ErrorContains(t, err, "Invalid Credentials")
		require.NotContains(t, err.Error(), "s3cret")
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Len(t, good.asked(), before)
	})
}

func TestPassword(t *testing.T) {
	f := newFake(t, plain(isAda))
	secret, perr := "one", error(nil)
	var used []string
	f.respond(func(r request) []answer {
		if r.op == "bind" {
			used = append(used, r.password)
		}
		return plain(isAda)(r)
	})
	c := client(t, ldap.ClientConfig{
		User: "cn=connector", Connections: 1,
		Password: func(context.Context) (string, error) { return secret, perr },
	}, f.url())
	e := entries(t, c, ldap.Config{})
	get := func() error { _, _, err := e.Get(t.Context(), ada); return err }
	require.NoError(t, get())
	secret = "two"
	f.cut()
	require.NoError(t, get())
	require.Equal(t, []string{"one", "two"}, used, "it is asked for with each connection")

	f.cut()
	secret = ""
	require.ErrorContains(t, get(), "Password: is empty")
	perr = errors.New("no such file")
	err := get()
	require.ErrorContains(t, err, "Password: no such file")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.Len(t, used, 2)
}

// TestReferral has a server that names another one, which must never hear of us.
func TestReferral(t *testing.T) {
	elsewhere := newFake(t, plain(isAda))
	f := newFake(t, plain(func(r request) []answer {
		return []answer{{code: goldap.LDAPResultReferral, text: elsewhere.url()}}
	}))
	e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{})
	_, _, err := e.Get(t.Context(), ada)
	require.EqualError(t, err, "ldap: search: Referral (10)")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.Empty(t, elsewhere.asked())
}

func TestClientConfig(t *testing.T) {
	secret := func(context.Context) (string, error) { return "x", nil }
	const good = "ldaps://ldap.example.org"
	for _, tt := range []struct {
		urls []string
		cfg  ldap.ClientConfig
		text string
	}{
		{nil, ldap.ClientConfig{}, "urls: at least one is needed"},
		{[]string{good, "http://x"}, ldap.ClientConfig{}, "urls[1]: must begin with ldap:// or ldaps://"},
		{[]string{"ldap://"}, ldap.ClientConfig{}, "urls[0]: has no host"},
		{[]string{"ldap://u:p@x"}, ldap.ClientConfig{}, "urls[0]: must hold no user: set User and Password"},
		{[]string{"ldap://x/dc=y"}, ldap.ClientConfig{}, "urls[0]: must end after the host or the port"},
		{[]string{"ldap://[::1"}, ldap.ClientConfig{}, "urls[0]: is not a URL"},
		{[]string{good}, ldap.ClientConfig{User: "cn=x"}, "Password: must be set for a User"},
		{[]string{good}, ldap.ClientConfig{Password: secret}, "User: must be set for a Password"},
		{[]string{good}, ldap.ClientConfig{User: "cn=x", Password: secret, External: true}, "External: leaves no room for User; set one of the two"},
		{[]string{good}, ldap.ClientConfig{Plaintext: true}, "Plaintext: urls[0] is one of ldaps"},
		{[]string{"ldap://x"}, ldap.ClientConfig{Plaintext: true, External: true}, "Plaintext: leaves no room for TLS and External"},
		{[]string{good}, ldap.ClientConfig{Connections: -1}, "Connections: must not be negative"},
		{[]string{good}, ldap.ClientConfig{Timeout: -1}, "Timeout: must not be negative"},
		{[]string{good}, ldap.ClientConfig{DialTimeout: -1}, "DialTimeout: must not be negative"},
		{[]string{good}, ldap.ClientConfig{IdleTimeout: -1}, "IdleTimeout: must not be negative"},
	} {
		_, err := ldap.NewClient(tt.urls, tt.cfg)
		require.EqualError(t, err, "ldap: "+tt.text)
	}
	_, err := ldap.NewClient([]string{good, "ldap://[::1]:1389/"}, ldap.ClientConfig{})
	require.NoError(t, err)
}

// TestCodes checks the table of the package comment, with diagnostic messages
// that hold a value.
func TestCodes(t *testing.T) {
	for _, tt := range []struct {
		op    string
		code  int
		text  string
		class failure.Class
		is    error
	}{
		{op: "search", code: 1, class: failure.Unavailable},
		{op: "search", code: 2, class: failure.Unavailable},
		{op: "search", code: 3, class: failure.Unavailable},
		{op: "search", code: 4, class: failure.Unavailable},
		{op: "search", code: 7, class: failure.Unavailable},
		{op: "search", code: 8, class: failure.Unavailable},
		{op: "modify", code: 10, class: failure.Unavailable},
		{op: "search", code: 11, class: failure.Unavailable},
		{op: "search", code: 12, class: failure.Unavailable},
		{op: "search", code: 13, class: failure.Unavailable},
		{op: "modify", code: 16, class: failure.Failed, is: sink.ErrConflict},
		{op: "modify", code: 17, class: failure.Rejected},
		{op: "modify", code: 18, class: failure.Rejected},
		{op: "modify", code: 19, class: failure.Rejected},
		{op: "modify", code: 19, text: "some attributes not unique", class: failure.Failed},
		{op: "modify", code: 19, text: "Another entry with the same attribute value already exists", class: failure.Failed},
		{op: "modify", code: 19, text: "000021C7: AtrErr: DSID-03200E6D", class: failure.Failed},
		{op: "modify", code: 20, class: failure.Failed, is: sink.ErrConflict},
		{op: "modify", code: 21, class: failure.Rejected},
		{op: "search", code: 32, class: failure.Unavailable},
		{op: "modify", code: 32, class: failure.Failed, is: sink.ErrNotFound},
		{op: "delete", code: 32, class: failure.Failed, is: sink.ErrNotFound},
		{op: "modify", code: 34, class: failure.Rejected},
		{op: "search", code: 48, class: failure.Unavailable},
		{op: "search", code: 49, class: failure.Unavailable},
		{op: "modify", code: 50, class: failure.Unavailable},
		{op: "modify", code: 51, class: failure.Unavailable},
		{op: "modify", code: 52, class: failure.Unavailable},
		{op: "modify", code: 53, class: failure.Failed},
		{op: "modify", code: 53, text: "operation restricted", class: failure.Unavailable},
		{op: "modify", code: 54, class: failure.Unavailable},
		{op: "modify", code: 64, class: failure.Rejected},
		{op: "modify", code: 65, class: failure.Rejected},
		{op: "delete", code: 66, class: failure.Failed},
		{op: "modify", code: 67, class: failure.Rejected},
		{op: "modify", code: 68, class: failure.Failed, is: sink.ErrConflict},
		{op: "modify", code: 69, class: failure.Rejected},
		{op: "modify", code: 71, class: failure.Rejected},
		{op: "modify", code: 80, class: failure.Unavailable},
		{op: "modify", code: 122, class: failure.Failed, is: sink.ErrConflict},
		{op: "delete", code: 122, class: failure.Failed, is: sink.ErrConflict},
		{op: "modify", code: 4711, class: failure.Unavailable},
	} {
		t.Run(fmt.Sprint(tt.op, tt.code, tt.text), func(t *testing.T) {
			const secret = "Kari Nordmann"
			f := newFake(t, plain(isAda))
			e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{})
			have, _, err := e.Get(t.Context(), ada)
			require.NoError(t, err)
			f.respond(plain(func(r request) []answer {
				if r.op == tt.op {
					return []answer{{code: tt.code, text: "value '" + secret + "' of 'member': " + tt.text}}
				}
				return isAda(r)
			}))
			switch tt.op {
			case "search":
				_, _, err = e.Get(t.Context(), ada)
			case "modify":
				err = e.Update(t.Context(), ada, have, ldap.Entry{Attributes: map[string][]string{"sn": {secret}}}, []sink.Field{{Name: "sn"}})
			case "delete":
				err = e.Delete(t.Context(), ada, have)
			}
			require.Error(t, err)
			require.Equal(t, tt.class, failure.Of(err), "%v", err)
			for _, sentinel := range []error{sink.ErrConflict, sink.ErrNotFound, sink.ErrExists} {
				require.Equal(t, errors.Is(tt.is, sentinel), errors.Is(err, sentinel), "%v", sentinel)
			}
			require.NotContains(t, err.Error(), secret)
			require.Contains(t, err.Error(), "member", "a name of the schema tells nothing")
			require.True(t, strings.HasPrefix(err.Error(), "ldap: "+tt.op+": "), err)
			var coded interface{ ResultCode() uint16 }
			require.ErrorAs(t, err, &coded)
			require.Equal(t, uint16(tt.code), coded.ResultCode())
		})
	}
}
