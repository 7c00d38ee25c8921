package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
)

const (
	progressEvery = 200 * time.Millisecond
	clearLine     = "\r\x1b[K"
)

// progress counts the bytes that are written to it, and shows on a terminal how much is read.
type progress struct {
	read    atomic.Int64
	stopped chan struct{}
	ended   chan struct{}
}

// startProgress shows progress if the output is a terminal. The caller stops it before anything else is printed.
func startProgress(out io.Writer, files []auditlog.File) *progress {
	p := &progress{stopped: make(chan struct{}), ended: make(chan struct{})}
	if !isTerminal(out) {
		close(p.ended)
		return p
	}
	var total int64
	for _, file := range files {
		total += file.Size
	}
	go p.show(out, total)
	return p
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) Write(read []byte) (int, error) {
	p.read.Add(int64(len(read)))
	return len(read), nil
}

func (p *progress) stop() {
	close(p.stopped)
	<-p.ended
}

func (p *progress) show(out io.Writer, total int64) {
	defer close(p.ended)
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	started := time.Now()
	for {
		select {
		case <-p.stopped:
			fmt.Fprint(out, clearLine)
			return
		case now := <-ticker.C:
			fmt.Fprint(out, clearLine+progressLine(p.read.Load(), total, now.Sub(started)))
		}
	}
}

// progressLine says how much of the total is read; a total of 0 is not known.
func progressLine(read, total int64, elapsed time.Duration) string {
	const mib = 1 << 20
	line := fmt.Sprintf("%d MiB", read/mib)
	if total > 0 {
		line = fmt.Sprintf("%3d %%  %d of %d MiB", 100*min(read, total)/total, read/mib, total/mib)
	}
	return fmt.Sprintf("%s, %.0f MiB/s", line, float64(read)/mib/elapsed.Seconds())
}
