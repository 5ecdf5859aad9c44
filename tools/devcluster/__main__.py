import sys

from tools.devcluster.cli import main

sys.exit(main())
