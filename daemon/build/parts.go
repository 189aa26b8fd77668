package build

import (
	"context"
	"encoding/json"
	"io/fs"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
)

// Parts is the table of everything a template can name. The command wires it once; the client reads the schemas and the
// pure checks, the daemon the factories.
type Parts struct {
	Sources        map[string]SourceKind
	Provisioners   map[string]ProvisionerKind
	PostProcessors map[string]PostKind
	// Imports are the packages that a driver keeps instead of files.
	Imports map[hypervisor.Package]ImportKind
	// Communicator reaches guests by ssh.
	Communicator CommunicatorKind
	DataSources  map[string]*schema.Block
	// Aliases are old names of sources ("virtualbox" for "virtualbox-iso").
	Aliases map[string]string
}

// SourceKind is a type of source.
type SourceKind struct {
	Schema *schema.Block
	// Driver names the driver that builds it, and Planner reads its arguments; without a planner the kind validates, and
	// Schema.Missing says why it cannot be built.
	Driver  string
	Planner hypervisor.Planner
	// NoMedium says that machines of the kind start from another machine, so that no iso_url is needed.
	NoMedium bool
	// SourceFiles lists the files that an exported machine consists of: its descriptor, which lies in dir under name, and
	// what that names, each by its name in dir. It is nil for a kind that starts from none.
	SourceFiles func(dir fs.FS, name string) ([]string, error)
}

// ImportKind is a package that a driver keeps, or a post-processor that has it make one: the driver is a hypervisor.Importer.
type ImportKind struct {
	Driver string
	// Argument is the block of a source that has the driver's arguments.
	Argument string
	// Check finds mistakes in them, and TouchesHost says, in words, what they do on the daemon's host that whoever may only submit builds
	// must not; empty for nothing.
	Check       func(args json.RawMessage) error
	TouchesHost func(args json.RawMessage) string
}

// ProvisionerKind is a type of provisioner. Without New it validates only.
type ProvisionerKind struct {
	Schema *schema.Block
	New    provisioners.Factory
	// Check finds mistakes that the schema cannot; it may be nil.
	Check func(args json.RawMessage) error
	// Inputs lists the local files that the arguments name; it may be nil.
	Inputs func(args json.RawMessage) ([]string, error)
	// Uncached tells why a provisioner must run in every build, in words that follow "it": "runs on the daemon's host".
	// Empty for one that can be taken from the cache; nil for a kind that always can.
	Uncached func(args json.RawMessage) string
	// IgnoresModes says that the permissions of its files do not reach the guest.
	IgnoresModes bool
}

// PostKind is a type of post-processor. Without New it validates only.
type PostKind struct {
	Schema *schema.Block
	New    PostFactory
	// Pure says that it only makes files out of files: without it the artifact is made anew in every build.
	Pure   bool
	Check  func(args json.RawMessage) error
	Inputs func(args json.RawMessage) ([]string, error)
	// Import is set for a kind that has a driver keep an image.
	Import *ImportKind
}

// CommunicatorKind is a way to reach guests.
type CommunicatorKind struct {
	// Check finds mistakes in the arguments without looking at files or the network.
	Check func(c Communicator) error
	// Inputs lists the local files that the arguments name.
	Inputs func(c Communicator) []string
	// Connect waits until a login works.
	Connect func(ctx context.Context, r ConnectRequest) (provisioners.Guest, error)
	// NewKey makes a key pair; typ and bits may be zero for the default.
	NewKey func(typ string, bits int) (private, authorized string, err error)
}

// ConnectRequest is what a communicator needs to log in.
type ConnectRequest struct {
	Args       Communicator
	PrivateKey []byte // the temporary key in PEM; nil for none
	Files      provisioners.Files
	// Find tells where the guest's port is reached, as host:port.
	Find func(ctx context.Context) (string, error)
	// HostKey is the only host key that the guest may show, in the form of authorized_keys; empty for any. A guest whose
	// key is known was up before, so that it is tried at shorter intervals.
	HostKey string
	// Report is told what is seen on the way, one line for each change.
	Report func(text string)
	// Mark is told the moments of the timeline that are met on the way; it may be nil.
	Mark func(m Mark, detail string)
}
