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
	"syscall"
	"testing"
	"time"
)

const (
	nginxPackage = "nginx"
	nginxBoot    = 30 * time.Second // 50 ms on a quiet machine
	nginxStop    = 10 * time.Second
)

// NginxServer is an nginx of one's own, a reverse proxy.
type NginxServer struct {
	dir    string
	port   int
	server *process
}

// Nginx starts an nginx for one test. The text is what stands in the http block
// of its configuration; in it, {port} is the port to listen on at 127.0.0.1, and
// {dir} a folder for files. The test fails if nginx does not start.
func Nginx(tb testing.TB, http string) *NginxServer {
	tb.Helper()
	n, err := newNginx(http)
	if err != nil {
		tb.Fatalf("start nginx: %v", err)
	}
	tb.Cleanup(func() {
		if err := n.remove(); err != nil {
			tb.Errorf("stop nginx: %v", err)
		}
	})
	return n
}

// URL returns the address, like "http://127.0.0.1:40123".
func (n *NginxServer) URL() string { return "http://" + n.addr() }

func (n *NginxServer) addr() string { return "127.0.0.1:" + strconv.Itoa(n.port) }

func newNginx(http string) (*NginxServer, error) {
	program := "nginx"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
	}
	if err := missing(program, nginxPackage); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nginx-")
	if err != nil {
		return nil, err
	}
	n := &NginxServer{dir: dir, port: ports[0]}
	if err := n.boot(program, http); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

// boot starts nginx as one process, so that nothing is left when that is
// killed, with all its files in its folder.
func (n *NginxServer) boot(program, http string) error {
	config := strings.NewReplacer("{http}", http, "{dir}", n.dir).Replace(`
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	{http}
}
`)
	config = strings.NewReplacer("{port}", strconv.Itoa(n.port), "{dir}", n.dir).Replace(config)
	file := filepath.Join(n.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), nginxBoot)
	defer cancel()
	cmd := exec.CommandContext(context.Background(), program, "-p", n.dir, "-c", file, "-e", filepath.Join(n.dir, "error.log"))
	server, err := start(cmd, filepath.Join(n.dir, "output.log"))
	if err != nil {
		return err
	}
	n.server = server
	go func() { // ends with ctx or the server
		select {
		case <-server.exited:
			cancel() // nobody will answer
		case <-ctx.Done():
		}
	}()
	if err := waitPort(ctx, n.addr()); err != nil {
		text, _ := os.ReadFile(filepath.Join(n.dir, "error.log")) // says why, if it can be read
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// remove stops the server and deletes its files.
func (n *NginxServer) remove() error {
	var err error
	if n.server != nil {
		err = n.server.stop(syscall.SIGTERM, nginxStop)
	}
	return errors.Join(err, os.RemoveAll(n.dir))
}
