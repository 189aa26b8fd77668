//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

const (
	// pollEvery is how often Wait asks, for events that got lost with a connection.
	pollEvery = 2 * time.Second
	// patience is how long libvirtd may be away, as when it is restarted, before Wait gives up.
	patience = 30 * time.Second
)

// Wait blocks until the machine is off. One that was never started is off.
func (m *Machine) Wait(ctx context.Context) error {
	events, stop := m.driver.conns.events.listen(m.uuid) // before the first look, which opens the connection
	defer stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	reached := time.Now()
	for {
		s, err := m.status(ctx)
		switch {
		case err == nil && s.over(), errors.Is(err, hypervisor.ErrNotFound):
			return m.outcome(s, err)
		case err == nil:
			reached = time.Now()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errClosed), time.Since(reached) > patience:
			return fmt.Errorf("wait for the machine %q: %w", m.name, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-events:
		case <-ticker.C:
		}
	}
}

// over tells whether a domain has stopped.
func (s status) over() bool {
	return s.domain == libvirt.DOMAIN_SHUTOFF || s.domain == libvirt.DOMAIN_CRASHED
}

// outcome says how a machine ended.
func (m *Machine) outcome(s status, err error) error {
	if err != nil {
		return fmt.Errorf("the machine %q is gone: %w: %w", m.name, hypervisor.ErrCrashed, err)
	}
	why := "libvirt does not tell why"
	switch libvirt.DomainShutoffReason(s.reason) {
	case libvirt.DOMAIN_SHUTOFF_SHUTDOWN:
		return nil
	case libvirt.DOMAIN_SHUTOFF_UNKNOWN:
		if s.domain == libvirt.DOMAIN_SHUTOFF && !m.hasRun() {
			return nil
		}
	case libvirt.DOMAIN_SHUTOFF_DESTROYED:
		why = "it was powered off from outside, or the connection that started it closed"
	case libvirt.DOMAIN_SHUTOFF_CRASHED:
		why = "QEMU died or the guest panicked"
	case libvirt.DOMAIN_SHUTOFF_FAILED:
		why = "QEMU could not start"
	case libvirt.DOMAIN_SHUTOFF_DAEMON:
		why = "libvirtd lost it"
	}
	return fmt.Errorf("the machine %q: %w: %s%s", m.name, hypervisor.ErrCrashed, why, m.lastWords())
}

// hasRun tells whether QEMU ever ran for this machine, when libvirtd has forgotten.
func (m *Machine) hasRun() bool {
	info, err := os.Stat(m.SerialLog())
	return err == nil && info.Size() > 0
}

// wordsOfQEMU are the most that an error quotes of QEMU's log.
const (
	lastLogLines = 6
	lastLogBytes = 8 << 10
)

// lastWords quotes the end of QEMU's log, where it can be read.
func (m *Machine) lastWords() string {
	log := tail(filepath.Join("/var/log/libvirt/qemu", m.name+".log"), lastLogBytes)
	if cache, err := os.UserCacheDir(); log == "" && err == nil { // a session daemon keeps it there
		log = tail(filepath.Join(cache, "libvirt/qemu/log", m.name+".log"), lastLogBytes)
	}
	if log == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return "; the end of QEMU's log: " + strings.Join(lines[max(0, len(lines)-lastLogLines):], " | ")
}

// tail reads the last n bytes of a file; "" if it cannot.
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(n, info.Size()))
	if _, err := f.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		return ""
	}
	return string(buf)
}
