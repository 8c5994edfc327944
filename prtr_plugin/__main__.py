"""``python -m prtr_plugin``, the same as the command ``prtr``."""

from prtr_tool import main

if __name__ == '__main__':
    main()
