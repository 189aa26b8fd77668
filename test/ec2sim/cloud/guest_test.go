package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) {
	qemu.Supervise()
	os.Exit(m.Run())
}

// provisioned logs in to the instance and changes something in it.
const provisioned = `{
  "builders": [{
    "type": "amazon-ebs", "region": "us-east-1", "custom_endpoint_ec2": %[1]q,
    "access_key": "test", "secret_key": "test",
    "skip_region_validation": true, "skip_credential_validation": true, "skip_metadata_api_check": true,
    "source_ami_filter": {"filters": {"name": "debian-12-*", "root-device-type": "ebs"}, "owners": ["136693071363"], "most_recent": true},
    "instance_type": "t3.micro", "ssh_username": "admin", "ssh_timeout": "15m", "ssh_handshake_attempts": 100,
    "ami_name": "baked"
  }],
  "provisioners": [{"type": "shell", "inline": ["echo by Packer | sudo tee /etc/baked", "sudo sync"]}]
}`

// demoDisk is a disk of the demo guest.
func demoDisk(t *testing.T) string {
	t.Helper()
	if os.Getenv("BOXKILN_E2E") != "1" {
		t.Skip("boots Debian twice: set BOXKILN_E2E=1")
	}
	iso := os.Getenv("BOXKILN_ISO")
	if iso == "" {
		t.Fatal("BOXKILN_ISO is not set: make iso makes the installer CD, build/iso/debian12-mini.iso")
	}
	for _, tool := range []string{"debugfs", "qemu-system-x86_64", "xorriso", "zstd", "mke2fs", "sfdisk"} {
		needTool(t, tool)
	}
	disk := filepath.Join(t.TempDir(), "demo.raw")
	if out, err := exec.CommandContext(t.Context(), "../demo-disk.sh", iso, disk).CombinedOutput(); err != nil {
		t.Fatalf("demo-disk.sh: %v\n%s", err, out)
	}
	return disk
}

// TestGuest has Debian's Packer provision a real guest over SSH, and starts another instance of the image that it made.
func TestGuest(t *testing.T) {
	t.Parallel()
	needTool(t, "packer")
	disk := demoDisk(t)
	dir := t.TempDir()
	a := newAccount(t, Config{Dir: dir, Guests: QEMU{Dir: dir}, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	debian := Publication{Name: "debian-12-amd64-20261127", Disk: disk, Owner: "136693071363", BootMode: "uefi"}
	if _, err := a.cloud.Publish(t.Context(), "us-east-1", debian); err != nil {
		t.Fatal(err)
	}
	packer(t, fmt.Sprintf(provisioned, a.url))
	if n := a.cloud.Count(); n["images"] != 1 || n["snapshots"] != 1 || len(n) != 2 {
		t.Errorf("there are %v", n)
	}

	key := a.ok("ec2", "create-key-pair", "--key-name", "k", "--key-type", "ed25519", "--query", "KeyMaterial")
	group := a.ok("ec2", "create-security-group", "--group-name", "g", "--description", "d", "--query", "GroupId")
	a.ok("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "127.0.0.1/32")
	image := a.ok("ec2", "describe-images", "--filters", "Name=name,Values=baked", "--query", "Images[].ImageId")
	instance := a.ok("ec2", "run-instances", "--image-id", image, "--instance-type", "t3.micro", "--key-name", "k", "--security-group-ids", group, "--query", "Instances[].InstanceId")
	a.until("running", "ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[].Instances[].State.Name")
	address := a.ok("ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[].Instances[].PublicIpAddress")
	if got := over(t, address, key, "cat /etc/baked"); got != "by Packer\n" {
		t.Errorf("/etc/baked is %q", got)
	}
	if console := a.ok("ec2", "get-console-output", "--instance-id", instance, "--query", "Output"); console == "" {
		t.Error("the console is empty")
	}
	a.ok("ec2", "terminate-instances", "--instance-ids", instance)
}

// over runs a command in a guest that may still be booting.
func over(t *testing.T, address, key, command string) string {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ClientConfig{User: "admin", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	for {
		client, err := ssh.Dial("tcp", net.JoinHostPort(address, "22"), config)
		if err == nil {
			defer client.Close()
			return said(t, client, command)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func said(t *testing.T, client *ssh.Client, command string) string {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.Output(command)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// slowGuests take until they are given up to end a machine.
type slowGuests struct{ running map[string]bool }

func (g *slowGuests) Start(_ context.Context, one Guest) error {
	g.running[one.ID] = true
	return nil
}
func (g *slowGuests) Stop(ctx context.Context, id string) error { return g.Kill(ctx, id) }
func (g *slowGuests) Wait(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func (g *slowGuests) Kill(ctx context.Context, id string) error {
	if ctx.Done() != nil { // not the call of Close, which cannot be cancelled
		<-ctx.Done()
		return ctx.Err()
	}
	delete(g.running, id)
	return nil
}

// TestCloseEndsAll: a cloud that is closed while it terminates an instance leaves no machine behind.
func TestCloseEndsAll(t *testing.T) {
	t.Parallel()
	guests := &slowGuests{map[string]bool{}}
	a := newAccount(t, Config{Hidden: -1, Guests: guests})
	instance := a.ok("ec2", "run-instances", "--image-id", a.image, "--query", "Instances[0].InstanceId")
	a.until("running", "ec2", "describe-instances", "--query", "Reservations[].Instances[].State.Name")
	a.ok("ec2", "terminate-instances", "--instance-ids", instance)
	if err := a.cloud.Close(); err != nil || len(guests.running) != 0 {
		t.Errorf("running are %v (%v)", guests.running, err)
	}
}
