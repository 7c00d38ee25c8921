//go:build unix && !linux

package vaulttest

// namespace is the machine's own network: there are no others.
type namespace struct{}

func (namespace) enter() error { return nil }

// network does not exist here.
type network struct{}

func newNetwork(int) (*network, error) { return nil, nil }

func (*network) namespace(int) namespace   { return namespace{} }
func (*network) host(int) string           { return "" }
func (*network) plug(int) error            { return nil }
func (*network) unplug(int) error          { return nil }
func (*network) publish(int, string) error { return nil }
func (*network) admit(int, string) error   { return nil }
func (*network) close()                    {}
