//go:build integration

package processtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a connector that runs.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.Writer
	stdout *bufio.Reader
	log    string
	ended  bool
}

// start starts a process. It dies with the test.
func (w *world) start(p program) *process {
	w.t.Helper()
	w.started++
	p.Name = fmt.Sprintf("instance-%d", w.started)
	p.AMQP, p.Database = w.rabbit.URL(), w.database
	p.Source, p.Target = w.source.url()+contextPath, w.sink.url()
	text, _ := json.Marshal(p)
	self, err := os.Executable()
	require.NoError(w.t, err)
	s := &process{t: w.t, name: p.Name, log: filepath.Join(w.logs, p.Name+".log")}
	file, err := os.Create(s.log)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, file.Close()) }() // the child has it
	s.cmd = exec.CommandContext(w.t.Context(), self)
	s.cmd.Env = append(os.Environ(), variable+"="+string(text))
	s.cmd.Stderr = file
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.stdin, err = s.cmd.StdinPipe()
	require.NoError(w.t, err)
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(w.t, err)
	s.stdout = bufio.NewReader(stdout)
	require.NoError(w.t, s.cmd.Start())
	w.processes = append(w.processes, s)
	w.t.Cleanup(func() {
		if !s.ended {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
		if w.t.Failed() {
			w.t.Logf("%s: its log ends:\n%s", s.name, tail(s.text()))
		}
	})
	return s
}

func (s *process) text() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

func (s *process) signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// kill ends the process as a crash does.
func (s *process) kill() error {
	s.ended = true
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	if s.cmd.Wait() == nil {
		return errors.New("it had ended by itself")
	}
	return nil
}

// stop ends the process in order.
func (s *process) stop() error {
	s.ended = true
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w; its log ends:\n%s", s.name, err, tail(s.text()))
	}
	return nil
}

// awaitHalt returns when the process has stopped itself.
func (s *process) awaitHalt() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "T")
	}, 60*time.Second, 10*time.Millisecond, "%s: never stood still", s.name)
}

// usage returns what the process needs now.
func (s *process) usage() (u usage) {
	s.t.Helper()
	_, err := fmt.Fprintln(s.stdin, "usage")
	require.NoError(s.t, err)
	line, err := s.stdout.ReadBytes('\n')
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(line, &u))
	return u
}

// logged reports whether the process has logged a text.
func (s *process) logged(text string) bool { return strings.Contains(s.text(), text) }
