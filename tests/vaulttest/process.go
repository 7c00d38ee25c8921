//go:build unix

package vaulttest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to stop by itself.
const stopTimeout = 15 * time.Second

// process is a child that leads a process group, to which its own children belong.
type process struct {
	cmd *exec.Cmd
	// log gets both outputs.
	log    string
	exited chan struct{}
}

// start starts a command. Its environment holds what every program needs and nothing of the caller's Vault.
func start(cmd *exec.Cmd, log string) (*process, error) { return startIn(namespace{}, cmd, log) }

// startIn starts a command in a network of its own.
func startIn(n namespace, cmd *exec.Cmd, log string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", cmd.Path, err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	const race = "GORACE=atexit_sleep_ms=0" // else a plugin with the race detector takes a second to end
	cmd.Env = append(cmd.Env, race, "PATH="+os.Getenv("PATH"), "HOME="+run.dir, "TMPDIR="+run.dir)
	cmd.SysProcAttr = processAttributes()

	p := &process{cmd: cmd, log: log, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux ends the child with the thread that started it, not with the process: this goroutine keeps its thread.
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.processes = append(run.processes, p)
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop ends the process, and whatever of its group is left then.
func (p *process) stop() {
	if p.running() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
		select {
		case <-p.exited:
		case <-time.After(stopTimeout):
		}
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // nobody may be left
	<-p.exited
}
