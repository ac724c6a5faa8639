package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/source/gateway"
)

// Secret returns a secret as it is now. It is called for every use, also
// concurrently, and once when what uses it is made, so that a missing secret
// shows at the start. The texts of its errors hold no secret.
type Secret func() (gateway.Secret, error)

// maxSecret is the longest secret in a file, in bytes: room for a private key
// with a chain of certificates.
const maxSecret = 256 << 10

// Value returns a Secret that never changes.
func Value(s gateway.Secret) Secret {
	return func() (gateway.Secret, error) { return s, nil }
}

// Env returns the Secret in an environment variable.
func Env(name string) Secret {
	return func() (gateway.Secret, error) {
		s := os.Getenv(name)
		if s == "" {
			return "", fmt.Errorf("the environment variable %s is not set, or empty", name)
		}
		return gateway.Secret(s), nil
	}
}

// File returns the Secret in a file, without line breaks at its end. The file
// is looked at for every use, and read if it changed. While that fails, or the
// file is empty, the last secret that it held is returned: files are replaced,
// and not always at once.
func File(path string) Secret {
	f := &file{path: path}
	return f.read
}

// settled is the age from which a file's time says whether it changed: clocks of
// file systems are coarse, and two changes can have the same time.
const settled = 2 * time.Second

type file struct {
	path string

	mu   sync.Mutex
	last gateway.Secret
	info fs.FileInfo // of when last was read, nil if it has to be read again
}

func (f *file) read() (gateway.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Before it is read: what changes meanwhile is seen the next time.
	info, err := os.Stat(f.path)
	if err == nil && f.info != nil && os.SameFile(info, f.info) &&
		info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		return f.last, nil
	}
	f.info = nil
	now := time.Now()
	s, err := readSecret(f.path)
	switch {
	case err == nil:
		f.last = s
		if info != nil && now.Sub(info.ModTime()) >= settled {
			f.info = info
		}
	case f.last == "":
		return "", err
	}
	return f.last, nil
}

func readSecret(path string) (gateway.Secret, error) {
	r, err := os.Open(path) //nolint:gosec // the path is the configuration's
	if err != nil {
		return "", err // names the path
	}
	defer func() { _ = r.Close() }() // nothing is lost: it was read
	b, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(b), "\r\n")
	switch {
	case s == "":
		return "", fmt.Errorf("the file %s is empty", path)
	case len(b) > maxSecret:
		return "", fmt.Errorf("the file %s is over %d bytes, so it holds something else", path, maxSecret)
	}
	return gateway.Secret(s), nil
}

// visible reads a secret that is to be part of a header.
func visible(s Secret) (string, error) {
	v, err := s()
	switch {
	case err != nil:
		return "", err
	case v == "":
		return "", errors.New("is empty")
	case strings.ContainsFunc(string(v), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", errors.New("holds a space, a line break or another character that it cannot have")
	}
	return string(v), nil
}
