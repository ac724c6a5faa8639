package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	scimPackages = "nodejs npm"
	scimInstall  = 5 * time.Minute  // 10 s with a near registry
	scimBoot     = 60 * time.Second // 0.5 s on a quiet machine
	scimStop     = 10 * time.Second
)

// scimFiles is the program: a SCIM service provider of npm's packages scimmy and
// scimmy-routers, with a store in memory.
//
//go:embed scim/package.json scim/package-lock.json scim/.npmrc scim/server.js
var scimFiles embed.FS

// SCIMServer is a SCIM service provider of one's own. It has users, with the
// enterprise extension, and groups; PATCH, filters and entity tags. It refuses
// users whose userName another has. What it holds is gone when it stops.
type SCIMServer struct {
	dir, token string
	port       int
	server     *process
}

// sharedSCIM is the server of [SharedSCIM], guarded by shared.mu.
var sharedSCIM struct {
	server  *SCIMServer
	failure error // why it did not start; it is tried once
}

// SCIM starts a provider for one test. The test fails if that cannot be done.
func SCIM(tb testing.TB) *SCIMServer {
	tb.Helper()
	s, err := newSCIM()
	if err != nil {
		tb.Fatalf("start the SCIM provider: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.remove(); err != nil {
			tb.Errorf("stop the SCIM provider: %v", err)
		}
	})
	return s
}

// SharedSCIM returns the provider that all tests of the package share. It is
// started by the first that asks, and stopped by [Main], which the package's
// TestMain must call.
func SharedSCIM(tb testing.TB) *SCIMServer {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		tb.Fatal("SharedSCIM: nobody would stop the server: call server.Main from TestMain")
	}
	if sharedSCIM.server == nil && sharedSCIM.failure == nil {
		s, err := newSCIM()
		sharedSCIM.server, sharedSCIM.failure = s, err
		if s != nil {
			shared.stops = append(shared.stops, func(bool) {
				if err := s.remove(); err != nil {
					fmt.Fprintf(os.Stderr, "stop the SCIM provider: %v\n", err)
				}
			})
		}
	}
	if sharedSCIM.failure != nil {
		tb.Fatalf("start the SCIM provider: %v", sharedSCIM.failure)
	}
	return sharedSCIM.server
}

// URL returns the base URL, like "http://127.0.0.1:40123/scim/v2".
func (s *SCIMServer) URL() string { return "http://" + s.addr() + "/scim/v2" }

// Token returns the bearer token that the provider wants.
func (s *SCIMServer) Token() string { return s.token }

func (s *SCIMServer) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func newSCIM() (*SCIMServer, error) {
	for _, program := range []string{"node", "npm"} {
		if err := missing(program, scimPackages); err != nil {
			return nil, err
		}
	}
	program, err := installSCIM()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "scim-")
	if err != nil {
		return nil, err
	}
	s := &SCIMServer{dir: dir, token: rand.Text(), port: ports[0]}
	if err := s.boot(program); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// installSCIM returns the folder of the program with its packages. npm fetches
// them once, into the user's cache folder; a change of the files makes another.
func installSCIM() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	files, err := fs.Sub(scimFiles, "scim")
	if err != nil {
		return "", err
	}
	sum, err := hashFiles(files)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "konnektor", "scim-"+sum)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }() // it is not there any more if all went well
	if err := os.CopyFS(fresh, files); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), scimInstall)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--omit=dev", "--ignore-scripts")
	cmd.Dir = fresh
	if _, err := output(cmd); err != nil {
		return "", fmt.Errorf("fetch the provider's packages: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // else another process was first
			return "", err
		}
	}
	return dir, nil
}

// hashFiles returns a short name for the contents of files.
func hashFiles(files fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", path, len(data), data) // a hash takes all
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

func (s *SCIMServer) boot(program string) error {
	cmd := exec.CommandContext(context.Background(), "node", filepath.Join(program, "server.js"), strconv.Itoa(s.port))
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "SCIM_TOKEN="+s.token)
	log := filepath.Join(s.dir, "output.log")
	server, err := start(cmd, log)
	if err != nil {
		return err
	}
	s.server = server
	ctx, cancel := context.WithTimeout(context.Background(), scimBoot)
	defer cancel()
	go func() { // ends with ctx or the server
		select {
		case <-server.exited:
			cancel() // nobody will answer
		case <-ctx.Done():
		}
	}()
	if err := waitPort(ctx, s.addr()); err != nil {
		text, _ := os.ReadFile(log) // says why, if it can be read
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// remove stops the server and deletes its files.
func (s *SCIMServer) remove() error {
	var err error
	if s.server != nil {
		err = s.server.stop(syscall.SIGTERM, scimStop)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
