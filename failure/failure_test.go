package failure_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
)

func TestOf(t *testing.T) {
	plain := errors.New("plain")
	for _, tc := range []struct {
		name string
		err  error
		want failure.Class
	}{
		{"nil", nil, failure.Failed},
		{"unclassified", plain, failure.Failed},
		{"marked", failure.As(failure.Gone, plain), failure.Gone},
		{"wrapped", fmt.Errorf("fetch: %w", failure.As(failure.Unavailable, plain)), failure.Unavailable},
		{"permanent", fmt.Errorf("x: %w", backoff.Permanent(plain)), failure.Rejected},
		{"the outermost wins", failure.As(failure.Failed, failure.As(failure.Gone, plain)), failure.Failed},
		{"joined", errors.Join(plain, failure.As(failure.Unavailable, plain)), failure.Unavailable},
		{"wrapped twice in one", fmt.Errorf("%w and %w", plain, failure.As(failure.Rejected, plain)), failure.Rejected},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, failure.Of(tc.err)) })
	}
}

func TestMarksKeepTheError(t *testing.T) {
	plain := errors.New("plain")
	err := failure.UnavailableFor(time.Minute, plain)
	require.ErrorIs(t, err, plain)
	require.EqualError(t, err, "plain")
	require.Equal(t, time.Minute, failure.RetryAfter(fmt.Errorf("x: %w", err)))
	require.Zero(t, failure.RetryAfter(plain))
	require.NoError(t, failure.As(failure.Gone, nil))
	require.NoError(t, failure.UnavailableFor(time.Minute, nil))
}

func ExampleOf() {
	err := fmt.Errorf("fetching a person: %w", failure.As(failure.Gone, errors.New("404 from the register")))
	fmt.Println(failure.Of(err), "-", err)
	// Output: gone - fetching a person: 404 from the register
}
