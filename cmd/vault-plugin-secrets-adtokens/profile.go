//go:build profile

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A plugin that is built with the tag profile writes a profile of its processor time into the file that the variable
// names: from one SIGUSR1 to the next.
const profileVariable = "ADTOKENS_PROFILE"

func init() {
	name := os.Getenv(profileVariable)
	if name == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			if err := profileUntil(asked, name); err != nil {
				fmt.Fprintln(os.Stderr, "no profile was written:", err)
			}
		}
	}()
}

// profileUntil writes beside the file and puts it in its place when it is complete.
func profileUntil(asked <-chan os.Signal, name string) error {
	file, err := os.Create(name + ".part") //nolint:gosec // whoever sets the variable runs the process
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	<-asked
	pprof.StopCPUProfile()
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), name) //nolint:gosec // as above
}
