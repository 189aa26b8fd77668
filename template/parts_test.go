package template_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/template"
)

type qemuArgs struct {
	ISO           string            `json:"iso_url" doc:"Where the ISO is." arg:"required" guest:"yes"`
	ISOs          []string          `json:"iso_urls"`
	Checksum      string            `json:"iso_checksum"`
	BootCommand   []string          `json:"boot_command" arg:"late"`
	BootWait      schema.Duration   `json:"boot_wait"`
	CPUs          int               `json:"cpus"`
	Memory        int               `json:"memory"`
	Headless      bool              `json:"headless"`
	QemuArgs      [][]string        `json:"qemuargs" arg:"late"`
	HTTPDirectory string            `json:"http_directory"`
	HTTPContent   map[string]string `json:"http_content"`
	Output        string            `json:"output_directory"`
	VMName        string            `json:"vm_name"`
	DiskSize      string            `json:"disk_size"`
	Username      string            `json:"ssh_username"`
	Password      string            `json:"ssh_password" arg:"sensitive"`
	Shutdown      string            `json:"shutdown_command" arg:"late"`
	NICs          []nicArgs         `json:"network_interface" arg:"block"`
}

type nicArgs struct {
	Type   string `json:"type" arg:"required"`
	Bridge string `json:"bridge"`
}

type shellArgs struct {
	Inline  []string `json:"inline" arg:"late"`
	Script  string   `json:"script"`
	Scripts []string `json:"scripts"`
	Env     []string `json:"environment_vars" arg:"late"`
	Execute string   `json:"execute_command" arg:"late"`
	Pause   string   `json:"pause_after"`
}

type amiArgs struct {
	Name   string            `json:"ami_name" arg:"required"`
	Source string            `json:"source_ami"`
	Region string            `json:"region"`
	Key    string            `json:"access_key" arg:"sensitive"`
	Tags   map[string]string `json:"tags"`
	User   string            `json:"ssh_username"`
	Filter []amiFilter       `json:"source_ami_filter" arg:"block"`
}

type amiFilter struct {
	Filters    map[string]string `json:"filters"`
	Owners     []string          `json:"owners"`
	MostRecent bool              `json:"most_recent"`
}

type vagrantArgs struct {
	Output   string          `json:"output" arg:"late"`
	Level    int             `json:"compression_level"`
	Override json.RawMessage `json:"override"`
}

type fileArgs struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Content     string `json:"content" arg:"late"`
}

func parts() template.Parts {
	return template.Parts{
		Sources: map[string]*schema.Block{
			"qemu":           schema.New("qemu", "QEMU.", qemuArgs{}),
			"virtualbox-iso": schema.Unbuilt("virtualbox-iso", "VirtualBox.", "the driver is not written", qemuArgs{}),
			"vmware-iso":     schema.Unbuilt("vmware-iso", "VMware.", "the driver is not written", qemuArgs{}),
			"amazon-ebs":     schema.Unbuilt("amazon-ebs", "EC2.", "the driver is not written", amiArgs{}),
		},
		Provisioners: map[string]*schema.Block{
			"shell":     schema.New("shell", "A script.", shellArgs{}),
			"file":      schema.New("file", "A file.", fileArgs{}),
			"chef-solo": schema.Unbuilt("chef-solo", "Chef.", "nobody wrote it", struct{}{}),
		},
		PostProcessors: map[string]*schema.Block{
			"vagrant": schema.New("vagrant", "A box.", vagrantArgs{}),
			"checksum": schema.New("checksum", "Sums.", struct {
				Types  []string `json:"checksum_types"`
				Output string   `json:"output" arg:"late"`
			}{}),
			"manifest": schema.New("manifest", "A list.", struct {
				Output string            `json:"output" arg:"late"`
				Strip  bool              `json:"strip_path"`
				Custom map[string]string `json:"custom_data" arg:"late"`
			}{}),
		},
		DataSources: map[string]*schema.Block{"amazon-ami": schema.New("amazon-ami", "An AMI.", amiFilter{})},
		Aliases:     map[string]string{"virtualbox": "virtualbox-iso", "vmware": "vmware-iso"},
	}
}

// folder writes files into a new folder and returns options whose current directory it is.
func folder(t *testing.T, files map[string]string) template.Options {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return template.Options{Dir: dir, Now: func() time.Time { return time.Date(2026, 3, 7, 8, 9, 10, 0, time.UTC) }, NewUUID: func() string { return "uuid-1" }}
}

// mustLoad loads a template that has no errors.
func mustLoad(t *testing.T, path string, o template.Options) (*template.Template, template.Diagnostics) {
	t.Helper()
	tmpl, diags := template.Load(path, parts(), o)
	if diags.HasErrors() {
		t.Fatalf("%s", diags)
	}
	return tmpl, diags
}

// args decodes arguments for comparison.
func args(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return out
}

// contains checks that each text occurs in what was said.
func contains(t *testing.T, diags template.Diagnostics, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(diags.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, diags)
		}
	}
}
