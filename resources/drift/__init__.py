"""Has production moved away from what it was promoted on?"""
