package archtest

// Names of what several rules allow.
const (
	inside   = "internal/..."        // helpers that know nothing of boxes and builds
	machine  = "hypervisor"          // the port to hypervisors
	paper    = "hypervisor/hardware" // a machine on paper
	guests   = "provisioners"        // the port to guests
	media    = "iso"                 // installation media
	source   = "template"            // templates
	boxes    = "boxregistry"         // the domain of boxes
	bytes    = "boxregistry/blob"
	boxfile  = "boxregistry/boxfile"
	upstream = "boxregistry/upstream" // boxes of elsewhere
	core     = "daemon/build"
	// What is written beside a box, as values: packages, what it was built from, signatures.
	packages   = "boxregistry/sbom"
	provenance = "boxregistry/provenance"
	signing    = "boxregistry/signing"
)

// formats know how bytes are laid out, and no hypervisor.
func formats() []string {
	return []string{"hypervisor/bootcmd", "hypervisor/disk", "hypervisor/disk/vmdk", paper, "hypervisor/ovf", "hypervisor/vmx"}
}

func list(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// Design is the table of packages.
func Design() Table { return Table{rules(), reserved(), exceptions()} }

// rules are in the order of the design.
func rules() []Rule {
	ports := []string{machine, guests, media, source, bytes}
	return []Rule{
		{[]string{inside}, []string{inside}, "internal packages import each other only"},
		{[]string{machine, guests, bytes}, []string{inside}, "a port knows nothing of the others, nor of the daemon"},
		{[]string{"iso/..."}, []string{inside, "iso/..."}, "media are made of media and bytes"},
		{[]string{"template/..."}, []string{inside, "template/..."}, "a template is pure"},
		{[]string{"hypervisor/ovf", "hypervisor/vmx"}, []string{inside, machine, paper}, "a descriptor's format knows the port and the machine on paper"},
		{[]string{"hypervisor/disk"}, []string{inside, machine, "hypervisor/disk/vmdk"}, "disks know the formats that they write themselves"},
		{formats(), []string{inside, machine}, "a format knows the port at most"},
		{[]string{"hypervisor/hypervisortest"}, []string{inside, machine}, "the suite knows no driver"},
		{[]string{"hypervisor/aws/account"}, []string{inside, machine}, "the connection to an account knows the port's tags, and no machine"},
		{[]string{"hypervisor/aws", "hypervisor/aws/..."}, list([]string{inside, machine, "hypervisor/aws/..."}, formats()), "what is made in AWS is made through one connection"},
		{[]string{"hypervisor/..."}, list([]string{inside, machine}, formats()), "drivers never import each other"},
		{[]string{"provisioners/..."}, []string{inside, guests}, "provisioners and guests know their port only"},
		{[]string{"boxregistry/blob/..."}, []string{inside, bytes}, "stores of bytes know their port only"},
		{[]string{boxfile}, list([]string{inside}, formats()), "a box file is made of formats"},
		{[]string{packages, signing}, []string{inside}, "lists of packages and signatures are values and know nothing of boxes"},
		{[]string{provenance}, []string{inside, boxes, bytes, packages, signing}, "provenance is about a file of a box, and what is signed beside it"},
		{[]string{boxes}, []string{inside, bytes}, "the domain knows digests, but no store and no protocol"},
		{[]string{upstream}, []string{inside, boxes, boxfile, bytes}, "what reads boxes from elsewhere knows the domain, and no store"},
		{[]string{"boxregistry/mirror", "boxregistry/static"}, []string{inside, boxes, boxfile, bytes, upstream}, "mirrors and exports know the domain and its sources, and no store"},
		{[]string{"boxregistry/store", "boxregistry/vagrantapi"}, []string{inside, boxes, boxfile, bytes}, "stores and protocols know the domain, not each other"},
		{[]string{"boxregistry/upload"}, []string{inside, boxes, boxfile, bytes}, "receiving knows the domain, and the store through an interface"},
		{[]string{core}, []string{inside, machine, guests, media, source}, "the core knows ports and values, and does nothing itself"},
		{[]string{"daemon/pack"}, list([]string{inside, machine, boxfile}, formats()), "packing is about files"},
		{[]string{"daemon/post", "daemon/post/..."}, list([]string{inside, machine, guests, core, "daemon/pack", boxfile}, formats()), "post-processors know the core and packing"},
		{
			[]string{"daemon/steps"},
			list(ports, []string{inside, core, "daemon/checkpoint", "daemon/pack", "hypervisor/bootcmd", "iso/...", boxes, boxfile, packages, provenance, signing}),
			"steps know ports, never a driver, a guest or a provisioner",
		},
		{[]string{"daemon/wire"}, list(ports, []string{inside, core, packages}), "what goes over the wire is values"},
		{
			[]string{"daemon/queue", "daemon/store", "daemon/checkpoint", "daemon/eventlog", "daemon/inputs", "daemon/window"},
			list(ports, []string{inside, core}),
			"what the daemon is made of knows the core and the ports",
		},
		{[]string{"daemon/imports"}, []string{inside, boxes, boxfile, bytes, upstream, "daemon/wire"}, "imports know where boxes come from and go, and what is said of them"},
		{[]string{"daemon/queue/queuetest"}, []string{inside, core, "daemon/queue"}, "the suite knows no store"},
		{[]string{"daemon/client"}, []string{inside, core, "daemon/wire"}, "a client knows what goes over the wire"},
		{
			[]string{"daemon", "daemon/api"},
			list(ports, []string{inside, "daemon/...", "boxregistry/...", "hypervisor/bootcmd", "iso/...", "web"}),
			"the daemon knows no driver, guest or provisioner: cmd/boxkiln hands them over",
		},
		{[]string{"web/..."}, []string{inside, core, boxes, boxfile, bytes, packages, provenance, "web/..."}, "pages read values through interfaces of their own"},
		{[]string{"examples/..."}, list([]string{inside, machine}, formats()), "an example of a driver is one in another place"},
		{[]string{"cmd/..."}, []string{"..."}, "commands put everything together"},
		{[]string{"test/..."}, []string{"..."}, "tests may use everything"},
	}
}

// exceptions are edges that the design does not have.
func exceptions() []Exception {
	return []Exception{
		{core, boxes, "a plan with a wrong name or version of a box is refused before it is queued"},
		{core, "hypervisor/bootcmd", "so is one whose boot command cannot be typed; the parser is pure"},
		{"daemon/wire", upstream, "the events of an import go over the wire as they are"},
		{core, "iso/seedhttp", "a plan holds the seed server's arguments, a plain struct"},
	}
}

// reserved are libraries whose types must not spread.
func reserved() []Reserved {
	return []Reserved{
		{Module + "/examples", []string{"examples/..."}}, // to read, and not part of the program
		{"github.com/gin-gonic/gin", []string{"daemon/api", "boxregistry/vagrantapi", "web"}},
		{"libvirt.org/go", []string{"hypervisor/libvirt"}},
		{"github.com/mattn/go-sqlite3", []string{"internal/sqlitedb"}},
		{"github.com/spf13/cobra", []string{"cmd/..."}},
		{"github.com/hashicorp/hcl", []string{"template/...", "internal/schema"}},
		{"github.com/aws/aws-sdk-go-v2", []string{"boxregistry/blob/s3/...", "hypervisor/aws/..."}},
		{"testing", []string{"internal/...", "hypervisor/hypervisortest", "provisioners/guesttest", "boxregistry/blob/blobtest", "boxregistry/blob/s3/s3test", "daemon/queue/queuetest"}},
	}
}
