package cloud

// ec2Actions are what EC2 answers to.
var ec2Actions = map[string]action{
	"DescribeRegions":               describeRegions,
	"DescribeAvailabilityZones":     describeZones,
	"DescribeVpcs":                  describeVPCs,
	"DescribeSubnets":               describeSubnets,
	"DescribeInstanceTypeOfferings": describeOfferings,
	"DescribeInstanceTypes":         describeTypes,

	"CreateSecurityGroup":           createGroup,
	"AuthorizeSecurityGroupIngress": authorizeIngress,
	"DescribeSecurityGroups":        describeGroups,
	"DeleteSecurityGroup":           deleteGroup,

	"CreateKeyPair":    createKey,
	"ImportKeyPair":    importKey,
	"DescribeKeyPairs": describeKeys,
	"DeleteKeyPair":    deleteKey,

	"RunInstances":            runInstances,
	"DescribeInstances":       describeInstances,
	"DescribeInstanceStatus":  describeStatus,
	"StopInstances":           stopInstances,
	"StartInstances":          startInstances,
	"TerminateInstances":      terminateInstances,
	"ModifyInstanceAttribute": modifyInstance,
	"GetConsoleOutput":        consoleOutput,

	"RequestSpotInstances":         requestSpot,
	"DescribeSpotInstanceRequests": describeSpots,
	"CancelSpotInstanceRequests":   cancelSpots,

	"DescribeVolumes":           describeVolumes,
	"DeleteVolume":              deleteVolume,
	"CreateSnapshot":            createSnapshot,
	"DescribeSnapshots":         describeSnapshots,
	"DeleteSnapshot":            deleteSnapshot,
	"CopySnapshot":              copySnapshot,
	"ModifySnapshotAttribute":   modifySnapshot,
	"DescribeSnapshotAttribute": describeSnapshotAttribute,

	"CreateImage":                          createImage,
	"RegisterImage":                        registerImage,
	"CopyImage":                            copyImage,
	"DescribeImages":                       describeImages,
	"DeregisterImage":                      deregisterImage,
	"DescribeImageAttribute":               describeImageAttribute,
	"ModifyImageAttribute":                 modifyImageAttribute,
	"EnableImageDeprecation":               enableDeprecation,
	"DisableImageDeprecation":              disableDeprecation,
	"EnableImageDeregistrationProtection":  protectImage,
	"DisableImageDeregistrationProtection": unprotectImage,

	"ImportImage":                 importImage,
	"ImportSnapshot":              importSnapshot,
	"DescribeImportImageTasks":    describeImageTasks,
	"DescribeImportSnapshotTasks": describeSnapshotTasks,
	"CancelImportTask":            cancelTask,

	"CreateTags":   createTags,
	"DeleteTags":   deleteTags,
	"DescribeTags": describeTags,
}
