package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// cloudDriver is the driver of AWS for who says where: it asks nothing of the environment.
func cloudDriver(install string) hypervisor.Driver {
	return aws.New(aws.Options{Install: install, Access: account.Access{Region: "us-east-1", Endpoint: "http://127.0.0.1:1", Tries: 1, SkipMetadata: true, Keys: account.NewKeys("k", "s", "", "")}})
}

// amiArgs are arguments of an import into a simulated account, as lines of a block.
func amiArgs(t *testing.T) (c *cloud.Cloud, lines string) {
	t.Helper()
	c = cloud.New(cloud.Config{Dir: t.TempDir(), Pace: time.Millisecond})
	s := httptest.NewServer(c)
	t.Cleanup(func() {
		s.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, "region = \"eu-west-1\"\n access_key = \"AKIAEXAMPLE\"\n secret_key = \"a secret that nobody sees\"\n skip_metadata_api_check = true\n max_retries = 1\n aws_polling {\n delay_seconds = 1\n }\n" +
		" custom_endpoint_ec2 = \"" + s.URL + "\"\n"
}

// withBlock puts a block into the source of a template of one machine.
func withBlock(t *testing.T, template, block string) string {
	t.Helper()
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "source \"fake\" \"solo\" {\n", "source \"fake\" \"solo\" {\n"+block, 1)
	if err := os.WriteFile(template, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return template
}

// TestPackageAMI: a machine becomes an image in EC2, which the summary and the registry name; the next build makes another. A build that fails
// after it leaves none.
func TestPackageAMI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, lines := amiArgs(t)
	template := withBlock(t, b.solo(map[string]string{"package": `["ami"]`}, ""), "package_ami {\n"+lines+"}\n")
	r := b.run("build", "--box=acme/solo", "--box-version=1.0", template)
	r.wants(t, exitOK, "Packaging for ami", "AMIs were created:", "eu-west-1: ami-", "Published and released: acme/solo 1.0 (aws, amd64)")
	if strings.Contains(r.stdout+r.stderr, "a secret") {
		t.Errorf("a secret is shown:\n%s\n%s", r.stdout, r.stderr)
	}
	if n := c.Count(); n["images"] != 1 || n["snapshots"] != 1 || len(n) != 2 {
		t.Errorf("in the account there is %v", n)
	}
	c.Inject(cloud.Fault{Action: "RegisterImage", Code: "UnauthorizedOperation"})
	b.run("build", template).wants(t, exitFailed, "the permission ec2:RegisterImage is missing")
	if n := c.Count(); n["images"] != 1 || n["snapshots"] != 1 || len(n) != 2 {
		t.Errorf("a build that failed has left %v", n)
	}
	for _, kept := range []string{"boxkiln.db", "boxkiln.db-wal"} {
		if data, err := os.ReadFile(filepath.Join(b.data, kept)); err == nil && strings.Contains(string(data), "a secret that") {
			t.Errorf("%s holds a secret", kept)
		}
	}
}

// TestAmazonImport: the post-processor makes an image of the artifact under the name that it renders.
func TestAmazonImport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, lines := amiArgs(t)
	body := "  post-processor \"amazon-import\" {\n ami_name = \"golden {{ build_name }}\"\n ami_regions = [\"us-east-1\"]\n" + lines + "}\n"
	b.run("build", b.solo(nil, body)).wants(t, exitOK, "Running post-processor: amazon-import", "eu-west-1: ami-", "us-east-1: ami-")
	for _, o := range c.Objects() {
		if o.Kind == "images" && o.Name != "golden solo" {
			t.Errorf("an image is named %q", o.Name)
		}
	}
	if n := c.Count(); n["images"] != 2 || n["snapshots"] != 2 || len(n) != 2 {
		t.Errorf("in the account there is %v", n)
	}
	bad := b.solo(nil, "  post-processor \"amazon-import\" {\n boot_mode = \"bios\"\n"+lines+"}\n")
	b.run("validate", bad).wants(t, exitFailed, "boot_mode")
}

// imported is a template whose machine becomes an image in two regions.
func (e *ec2) imported(b *bench) string {
	return withBlock(b.t, b.solo(map[string]string{"package": `["ami"]`}, ""), fmt.Sprintf("package_ami {\n region = \"us-east-1\"\n ami_regions = [\"eu-west-1\"]\n access_key = \"AKIACANARY\"\n"+
		" secret_key = %q\n skip_metadata_api_check = true\n custom_endpoint_ec2 = %q\n}\n", awsKey, e.url))
}

// TestPackageAMIKilled kills the daemon at every call that changes something while it makes an image of a disk, when the cloud has acted and
// nobody knows. The next one leaves nothing.
func TestPackageAMIKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts some twenty daemons")
	}
	for n := 1; ; n++ {
		action := awsKilledAt(t, n, (*ec2).imported)
		if action == "" && n < 7 && !t.Failed() { // StartSnapshot, PutSnapshotBlock, CompleteSnapshot, CreateTags, RegisterImage, CopyImage, CreateTags
			t.Errorf("an import changes something %d times: the test does not see it all", n-1)
		}
		if action == "" && n > 1 || t.Failed() {
			return
		}
	}
}
