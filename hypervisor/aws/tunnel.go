package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// The ports of this host from which one is chosen for a tunnel, as in Packer.
const (
	tunnelPortMin = 8000
	tunnelPortMax = 9000
)

// plugin is Amazon's program that a tunnel runs through.
const plugin = "session-manager-plugin"

// tunnel is a port of this host that leads to a port of an instance, through Session Manager.
type tunnel struct {
	port  int
	ended chan struct{} // closed when the program has ended
	close func()
}

// tunnel opens a tunnel to a port of the guest, or returns the one that is open. The agent in the guest may not answer yet, which is
// ErrNoAddress: ask again.
//
// Nobody has run this against Amazon: neither the program nor an agent is available where Boxkiln is tested. How the program is
// called is that of awscli (awscli/customizations/sessionmanager.py).
func (m *Machine) tunnel(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	if t := m.driver.openTunnel(m.record.Name); t != nil {
		return hypervisor.Endpoint{Host: "127.0.0.1", Port: t.port}, nil
	}
	path, err := exec.LookPath(plugin)
	if err != nil {
		return hypervisor.Endpoint{}, fmt.Errorf("ssh_interface = %q needs Amazon's %s: %w", sessionManager, plugin, err)
	}
	if err := netx.Pause(ctx, time.Duration(m.record.Settings.Connect.PauseBeforeSSM)); err != nil {
		return hypervisor.Endpoint{}, err
	}
	local := m.record.Settings.Connect.SessionManagerPort
	if local == 0 {
		if local, err = netx.FreePort(ctx, "127.0.0.1", tunnelPortMin, tunnelPortMax); err != nil {
			return hypervisor.Endpoint{}, err
		}
	}
	request := &ssm.StartSessionInput{Target: &m.record.Instance, DocumentName: aws.String("AWS-StartPortForwardingSession"),
		Parameters: map[string][]string{"portNumber": {strconv.Itoa(port)}, "localPortNumber": {strconv.Itoa(local)}}}
	session, err := m.region.SSM.StartSession(ctx, request)
	if err != nil {
		return hypervisor.Endpoint{}, fmt.Errorf("%w: %w", hypervisor.ErrNoAddress, err)
	}
	t, err := startPlugin(path, m.region.Name, request, session)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	t.port = local
	m.driver.keepTunnel(m.record.Name, t)
	return hypervisor.Endpoint{Host: "127.0.0.1", Port: local}, nil
}

// startPlugin runs the program. It ends with us.
func startPlugin(path, region string, request *ssm.StartSessionInput, session *ssm.StartSessionOutput) (*tunnel, error) {
	asked, err := json.Marshal(map[string]any{"Target": request.Target, "DocumentName": request.DocumentName, "Parameters": request.Parameters})
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(map[string]any{"SessionId": session.SessionId, "StreamUrl": session.StreamUrl, "TokenValue": session.TokenValue})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	// The program wants the session's token as an argument: it is good for this one session.
	cmd := exec.CommandContext(ctx, path, string(answer), region, "StartSession", "", string(asked))
	detach(cmd)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	t := &tunnel{ended: make(chan struct{}), close: cancel}
	go func() {
		defer close(t.ended)
		_ = cmd.Wait() // it is killed in the end; a tunnel that broke is opened again
	}()
	return t, nil
}

// openTunnel returns the tunnel of a machine that is still open.
func (d *Driver) openTunnel(machine string) *tunnel {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tunnels[machine]
	if t == nil {
		return nil
	}
	select {
	case <-t.ended:
		delete(d.tunnels, machine)
		return nil
	default:
		return t
	}
}

func (d *Driver) keepTunnel(machine string, t *tunnel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tunnels[machine] = t
}

// closeTunnel ends the tunnel of a machine, if there is one.
func (d *Driver) closeTunnel(machine string) {
	d.mu.Lock()
	t := d.tunnels[machine]
	delete(d.tunnels, machine)
	d.mu.Unlock()
	if t != nil {
		t.close()
		<-t.ended
	}
}
