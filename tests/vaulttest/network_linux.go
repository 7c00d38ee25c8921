package vaulttest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own. It ends with the last process in it and its file, so nothing is left on the machine.
// The zero namespace is the machine's own network.
type namespace struct{ file *os.File }

func newNamespace() (namespace, error) {
	var n namespace
	err := ownThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return namespace{}, fmt.Errorf("making a network namespace: %w", err)
	}
	return n, n.ip("link set lo up")
}

// ownThread does something on a thread that nobody gets after it: which network a thread belongs to stays with it.
func ownThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		done <- do()
	}()
	return <-done
}

// enter moves the calling goroutine's thread, which has to be locked, into the namespace.
func (n namespace) enter() error {
	if n.file == nil {
		return nil
	}
	return unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET)
}

// within does something in the namespace. Sockets stay where they were made.
func (n namespace) within(do func() error) error {
	if n.file == nil {
		return do()
	}
	return ownThread(func() error {
		if err := n.enter(); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return do()
	})
}

// ip runs the ip command in the namespace.
func (n namespace) ip(arguments string) error {
	return n.within(func() error {
		if output, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", arguments, err, output)
		}
		return nil
	})
}

func (n namespace) listen(address string) (listener net.Listener, err error) {
	err = n.within(func() error {
		listener, err = net.Listen("tcp", address)
		return err
	})
	return listener, err
}

func (n namespace) dial(d net.Dialer, address string) (conn net.Conn, err error) {
	err = n.within(func() error {
		conn, err = d.Dial("tcp", address)
		return err
	})
	return conn, err
}

// network connects the nodes of a cluster by cables that can be pulled out. Everybody else reaches a node, and is reached
// from it, on the loopback address.
type network struct {
	hub       namespace
	nodes     []namespace
	listeners []net.Listener
}

// newNetwork returns nil where the user may not have namespaces, or the machine lacks what they are connected with.
func newNetwork(nodes int) (*network, error) {
	w := &network{}
	err := w.build(nodes)
	var refused *exec.ExitError
	if errors.Is(err, syscall.EPERM) || errors.Is(err, exec.ErrNotFound) || errors.As(err, &refused) {
		w.close()
		return nil, nil
	}
	return w, err
}

func (w *network) build(nodes int) (err error) {
	if w.hub, err = newNamespace(); err != nil {
		return err
	}
	if err := w.hub.ip("link add bridge type bridge"); err != nil {
		return err
	}
	if err := w.hub.ip("link set bridge up"); err != nil {
		return err
	}
	for i := range nodes {
		n, err := newNamespace()
		if err != nil {
			return err
		}
		w.nodes = append(w.nodes, n)
		for _, step := range []struct {
			in namespace
			do string
		}{
			{w.hub, fmt.Sprintf("link add node%d type veth peer name cable netns /proc/%d/fd/%d", i, os.Getpid(), n.file.Fd())},
			{w.hub, fmt.Sprintf("link set node%d master bridge up", i)},
			{n, fmt.Sprintf("address add %s/24 dev cable", w.host(i))},
			{n, "link set cable up"},
		} {
			if err := step.in.ip(step.do); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *network) namespace(node int) namespace { return w.nodes[node] }

// host is the address of a node in the network.
func (w *network) host(node int) string { return fmt.Sprintf("10.0.0.%d", node+1) }

// plug connects a node's cable.
func (w *network) plug(node int) error { return w.hub.ip(fmt.Sprintf("link set node%d up", node)) }

// unplug pulls a node's cable out: what is sent then is lost.
func (w *network) unplug(node int) error { return w.hub.ip(fmt.Sprintf("link set node%d down", node)) }

// publish makes a port of a node reachable on the machine's loopback address.
func (w *network) publish(node int, port string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return errPortTaken
	}
	return w.relay(listener, err, func() (net.Conn, error) {
		return w.nodes[node].dial(net.Dialer{}, w.host(node)+":"+port)
	})
}

// admit makes a port of the machine's loopback address reachable from a node. Who listens there sees calls of the node come
// from nodeAddress.
func (w *network) admit(node int, address string) error {
	listener, err := w.nodes[node].listen(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil // it was admitted already: nobody else is in the namespace
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(nodeAddress(node))}}
	return w.relay(listener, err, func() (net.Conn, error) { return from.Dial("tcp", address) })
}

// relay passes connections on until the listener is closed.
func (w *network) relay(listener net.Listener, err error, dial func() (net.Conn, error)) error {
	if err != nil {
		return fmt.Errorf("listening between two networks: %w", err)
	}
	w.listeners = append(w.listeners, listener)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go join(conn, dial)
		}
	}()
	return nil
}

// join passes on what either side says until one of them hangs up.
func join(conn net.Conn, dial func() (net.Conn, error)) {
	defer conn.Close()
	other, err := dial()
	if err != nil {
		return
	}
	defer other.Close()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{conn, other}, {other, conn}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // whatever ends it ends the conversation
			ended <- struct{}{}
		}()
	}
	<-ended
}

func (w *network) close() {
	for _, listener := range w.listeners {
		_ = listener.Close() // nobody uses it any more
	}
	for _, n := range append(w.nodes, w.hub) {
		_ = n.file.Close() // also where it was never made
	}
}
